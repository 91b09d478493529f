// SPDX-License-Identifier: BSD-3-Clause
#include "conv_implicit_gemm_pool_tiles.h"

#include <algorithm>
#include <utility>

#include "conv_implicit_gemm_cut.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

struct Axis {
  int64_t windows, stride, reach;  // of one window

  Axis(const PoolProblem& pool, size_t i)
      : windows(pool.output[i]),
        stride(pool.output[i] == 1 ? 1 : pool.stride[i]),
        reach((pool.kernel[i] - 1) * pool.dilation[i] + 1) {}

  // Calls body(windows, their pixels) for each number of neighbouring windows that fit so many.
  template <class Body>
  void for_each(int64_t pixels, const Body& body) const {
    for (int64_t i = 0; i < windows && i * stride + reach <= pixels; ++i)
      body(i + 1, i * stride + reach);
  }
};

ImplicitPoolTiles refused(std::string reason) {
  ImplicitPoolTiles tiles;
  tiles.refused = std::move(reason);
  return tiles;
}

// Inputs of the convolution that a box of its pixels reaches; the image has no more.
int64_t reached(const ConvProblem& g, const Extent& pixels) {
  int64_t all = 1;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t along = (pixels[i] - 1) * g.stride[i] + (g.kernel[i] - 1) * g.dilation[i] + 1;
    all *= std::min(along, g.input[i]);
  }
  return all;
}

std::string text(const Extent& size) {
  return std::to_string(size[0]) + "x" + std::to_string(size[1]) + "x" + std::to_string(size[2]);
}

}  // namespace

ImplicitPoolTiles tile_implicit_pool(const ConvProblem& g, const PoolProblem& pool) {
  if (const int64_t parts = implicit_parts(g, Direction::forward).count; parts > 1)
    return refused("sums are made of " + std::to_string(parts) + " parts, needs one");
  const int64_t most = implicit_gemm_samples(g, Direction::forward);
  // With padding a pool may have more outputs than inputs. Offsets are of 32 bits.
  constexpr int64_t kElements = (int64_t{1} << 31) - (int64_t{1} << 20);
  if (volume(pool.output) > kElements / std::max<int64_t>(1, most * g.k))
    return refused("the outputs of a launch have 2^31 elements or more");
  const Axis axis[3] = {{pool, 0}, {pool, 1}, {pool, 2}};
  ImplicitPoolTiles best;
  int64_t fewest = 0, least_reached = 0;
  axis[0].for_each(kPoolTileRows, [&](int64_t depth, int64_t d) {
    axis[1].for_each(kPoolTileRows / d, [&](int64_t height, int64_t h) {
      axis[2].for_each(kPoolTileRows / (d * h), [&](int64_t width, int64_t w) {
        ImplicitPoolTiles tiles;
        tiles.samples = std::min(most, kPoolTileRows / (d * h * w));
        tiles.windows = {depth, height, width};
        tiles.pixels = {d, h, w};
        for (size_t i = 0; i < 3; ++i) tiles.tiles[i] = ceil_div(axis[i].windows, tiles.windows[i]);
        const int64_t all = tiles.in_launch(most),
                      inputs = tiles.samples * reached(g, tiles.pixels);
        if (fewest && (all > fewest || (all == fewest && inputs >= least_reached))) return;
        best = tiles;
        fewest = all;
        least_reached = inputs;
      });
    });
  });
  if (!fewest)
    return refused("a window reaches over " + text({axis[0].reach, axis[1].reach, axis[2].reach}) +
                   " pixels, needs at most " + std::to_string(kPoolTileRows));
  const int64_t own = ceil_div(most * volume(g.output), kPoolTileRows);
  const int64_t terms = volume(g.kernel) * gathered_operand(g, Direction::forward).padded;
  const std::string takes = "whole windows take " + std::to_string(fewest) + " tiles, " +
                            std::to_string(own) + " are the convolution's: ";
  if (fewest > kMostPoolTiles * own)
    return refused(takes + "needs at most " + std::to_string(kMostPoolTiles) + " times as many");
  if (double(fewest - own) * double(terms) > double(kMostPoolTerms) * double(own))
    return refused(takes + "too many for sums of " + std::to_string(terms) + " terms");
  for (size_t i = 0; i < 3; ++i) {
    best.strides[i] = axis[i].stride;
    best.dilations[i] = pool.kernel[i] == 1 ? 1 : pool.dilation[i];
  }
  return best;
}

}  // namespace cnnkern::cuda
