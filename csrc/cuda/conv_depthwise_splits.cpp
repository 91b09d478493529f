// SPDX-License-Identifier: BSD-3-Clause
#include "conv_depthwise_splits.h"

#include <algorithm>

#include "conv_depthwise.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

int64_t power_of_two(int64_t at_least) {
  int64_t power = 1;
  while (power < at_least) power *= 2;
  return power;
}

int64_t sum_bytes(const ConvProblem& g) {
  return g.k * (volume(g.kernel) + 1) * std::max<int64_t>(4, size_of(g.dtype));
}

}  // namespace

int64_t most_splits(const ConvProblem& g, int64_t blocks) {
  constexpr int64_t kBlocks = 1024, kBytes = 16 << 20;
  return std::clamp<int64_t>(std::min(kBlocks / blocks, kBytes / sum_bytes(g)), 1, kBlockedTerms);
}

WeightGradShares weight_grad_shares(const ConvProblem& g) {
  const int64_t rows = g.output[0] * g.output[1], width = g.output[2];
  WeightGradShares s{};
  if (g.format == Format::channels_last) {
    s.channels = std::min<int64_t>(32, power_of_two(g.k));
  } else {
    s.channels = kWeightGradThreads / power_of_two(std::min<int64_t>(256, rows * width));
    s.channels = std::min(s.channels, power_of_two(g.k));
  }
  s.lanes = kWeightGradThreads / s.channels;
  const int64_t pixels = std::min<int64_t>(4096, kBlockedTerms * s.lanes);
  s.width = std::min(width, pixels);
  s.rows = std::min(rows, std::max<int64_t>(1, pixels / s.width));
  s.row_units = ceil_div(rows, s.rows);
  s.width_units = ceil_div(width, s.width);
  s.units = g.n * s.row_units * s.width_units;
  s.tap_groups = ceil_div(volume(g.kernel), kWeightGradTaps);
  s.splits = std::min(s.units, most_splits(g, ceil_div(g.k, s.channels) * s.tap_groups));
  return s;
}

int64_t square_weight_units(const SquareTiles& t) {
  return int64_t{t.images} * t.row_tiles * t.column_tiles;
}

int64_t square_weight_splits(const ConvProblem& g) {
  const SquareTiles t = square_tiles(g, Direction::weight_grad, true);
  const int64_t units = square_weight_units(t);
  // A split reads ten times the bytes of its sums, which are written and read.
  const int64_t sums = 2 * 4 * (volume(g.kernel) + 1);
  const int64_t pixels = volume(g.input) + volume(g.output);
  const int64_t unit = ceil_div(pixels * size_of(g.dtype), t.row_tiles * t.column_tiles);
  const int64_t worth = ceil_div(units, ceil_div(10 * sums, unit));
  return std::min(worth, most_splits(g, t.channel_tiles));
}

int64_t conv_depthwise_workspace_bytes(const ConvProblem& g, Direction direction) {
  if (direction != Direction::weight_grad || !g.k) return 0;
  const WeightGradShares s = weight_grad_shares(g);
  int64_t splits = most_splits(g, ceil_div(g.k, s.channels) * s.tap_groups);
  // Larger batches may have offsets that only the other kernel counts.
  if (square_serves(g)) {
    const SquareTiles t = square_tiles(g, Direction::weight_grad, true);
    splits = std::max(splits, most_splits(g, t.channel_tiles));
  }
  return splits * sum_bytes(g);
}

}  // namespace cnnkern::cuda
