// SPDX-License-Identifier: BSD-3-Clause
// How the weight gradient's sum over pixels is cut, and the memory that its parts take.
#include <algorithm>

#include "conv_direct.h"
#include "conv_direct_cut.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

constexpr int64_t kWantedBlocks = 512;  // some for every multiprocessor of the largest GPUs
constexpr int64_t kLeastPixels = 256;   // of one split: fewer cost more to add than to sum
constexpr int64_t kMostBytes = int64_t{64} << 20;
constexpr int64_t kStepPixels = 16;  // a multiple of every tile's depth

struct Tiles {
  WeightGradTile tile;
  int64_t rows, columns;
  Tiles(const ConvProblem& g, WeightGradTile t)
      : tile(t),
        rows(ceil_div(g.c / g.groups * volume(g.kernel), weight_grad_rows(t))),
        columns(ceil_div(g.k / g.groups, weight_grad_columns(t))) {}
  int64_t count() const { return rows * columns; }
};

// A small tile's multiply-add costs about twice a medium one's.
Tiles choose_tiles(const ConvProblem& g) {
  constexpr int64_t kMedium =
      weight_grad_rows(WeightGradTile::medium) * weight_grad_columns(WeightGradTile::medium);
  constexpr int64_t kSmall =
      weight_grad_rows(WeightGradTile::small) * weight_grad_columns(WeightGradTile::small);
  const Tiles medium(g, WeightGradTile::medium), small(g, WeightGradTile::small);
  return 2 * kSmall * small.count() <= kMedium * medium.count() ? small : medium;
}

int64_t split_bytes(const ConvProblem& g) {
  return (weight_elements(g) + g.k) * (g.dtype == DataType::float64 ? 8 : 4);
}

// Of a batch of any size.
int64_t most_splits(const ConvProblem& g, const Tiles& tiles) {
  const int64_t wanted = ceil_div(kWantedBlocks, tiles.count() * g.groups);
  return std::max<int64_t>(1, std::min(wanted, kMostBytes / split_bytes(g)));
}

}  // namespace

WeightGradCut cut_weight_grad(const ConvProblem& g) {
  const Tiles tiles = choose_tiles(g);
  const int64_t pixels = g.n * volume(g.output);
  const int64_t splits = std::clamp<int64_t>(pixels / kLeastPixels, 1, most_splits(g, tiles));
  const int64_t split_pixels = ceil_div(ceil_div(pixels, splits), kStepPixels) * kStepPixels;
  return {tiles.tile, tiles.rows, tiles.columns, ceil_div(pixels, split_pixels), split_pixels};
}

int64_t conv_direct_workspace_bytes(const ConvProblem& g, Direction direction) {
  if (direction != Direction::weight_grad) return 0;
  const int64_t splits = most_splits(g, choose_tiles(g));
  return splits > 1 ? splits * split_bytes(g) : 0;
}

}  // namespace cnnkern::cuda
