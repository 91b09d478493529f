// SPDX-License-Identifier: BSD-3-Clause
// How tiles cover the windows of a max pool: every window lies in its tile, the tiles are the
// fewest that do, and what is refused says why. Some problems by hand, the others at random.
//   conv_pool_tiles_test [problems [seed]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "../../csrc/cuda/conv_implicit_gemm_operands.h"
#include "../../csrc/cuda/conv_implicit_gemm_pool_tiles.h"
#include "../../csrc/cuda/grid.h"
#include "../../csrc/cuda/sizes.h"
#include "../../csrc/problem/error.h"
#include "../../csrc/problem/text.h"

namespace {

using namespace cnnkern;
using cuda::ImplicitPoolTiles;

int failed = 0, passed = 0;

void check(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAILED: %s\n", what.c_str());
}

std::string shape_of(const ConvProblem& g) {
  std::string shape = std::to_string(g.n) + "x" + std::to_string(g.k);
  for (size_t i = 3 - size_t(g.rank); i < 3; ++i) shape += "x" + std::to_string(g.output[i]);
  return shape;
}

struct Block {
  ConvProblem conv;
  PoolProblem pool;
  std::string text;

  Block(const std::string& convolution, const std::string& words)
      : conv(std::get<ConvProblem>(parse(convolution))),
        pool(std::get<PoolProblem>(
            parse("max_pool" + std::to_string(conv.rank) + "d " + shape_of(conv) + " " + words))),
        text(convolution + " | " + words) {}
};

int64_t rows_of(const Extent& pixels) { return pixels[0] * pixels[1] * pixels[2]; }

// Pixels that so many windows along an axis reach.
int64_t pixels_of(const PoolProblem& pool, size_t i, int64_t windows) {
  return (windows - 1) * pool.stride[i] + (pool.kernel[i] - 1) * pool.dilation[i] + 1;
}

// The fewest tiles of any box; 0 where none fits.
int64_t fewest(const Block& block, int64_t samples) {
  int64_t best = 0;
  const Extent& out = block.pool.output;
  for (int64_t d = 1; d <= out[0]; ++d)
    for (int64_t h = 1; h <= out[1]; ++h)
      for (int64_t w = 1; w <= out[2]; ++w) {
        const Extent pixels = {pixels_of(block.pool, 0, d), pixels_of(block.pool, 1, h),
                               pixels_of(block.pool, 2, w)};
        const int64_t rows = rows_of(pixels);
        if (rows > cuda::kPoolTileRows) break;
        const int64_t together = std::min(samples, cuda::kPoolTileRows / rows);
        const int64_t tiles = cuda::ceil_div(samples, together) * cuda::ceil_div(out[0], d) *
                              cuda::ceil_div(out[1], h) * cuda::ceil_div(out[2], w);
        if (best == 0 || tiles < best) best = tiles;
      }
  return best;
}

void check_tiles(const Block& block) {
  const ImplicitPoolTiles tiles = cuda::tile_implicit_pool(block.conv, block.pool);
  const int64_t samples = cuda::implicit_gemm_samples(block.conv, Direction::forward);
  const int64_t least = fewest(block, samples);
  const int64_t own = cuda::ceil_div(samples * cuda::volume(block.conv.output), 128);
  const int64_t terms = cuda::volume(block.conv.kernel) *
                        cuda::gathered_operand(block.conv, Direction::forward).padded;
  const bool serves = least > 0 && least <= cuda::kMostPoolTiles * own &&
                      (least - own) * terms <= cuda::kMostPoolTerms * own;
  check(tiles.refused.empty() == serves, block.text + ": served or refused: " + tiles.refused);
  if (!serves || !tiles.refused.empty()) return;
  check(tiles.in_launch(samples) == least, block.text + ": the fewest tiles");
  check(tiles.samples * rows_of(tiles.pixels) <= cuda::kPoolTileRows, block.text + ": rows");
  for (size_t i = 0; i < 3; ++i) {
    check(tiles.tiles[i] * tiles.windows[i] >= block.pool.output[i] &&
              (tiles.tiles[i] - 1) * tiles.windows[i] < block.pool.output[i],
          block.text + ": every window has a tile, and no tile is empty");
    // The last tap of the tile's last window.
    check((tiles.windows[i] - 1) * tiles.strides[i] +
                  (block.pool.kernel[i] - 1) * tiles.dilations[i] ==
              tiles.pixels[i] - 1,
          block.text + ": pixels end with the last tap");
  }
}

void check_box(const Block& block, int64_t samples, const Extent& windows, const Extent& pixels) {
  const ImplicitPoolTiles tiles = cuda::tile_implicit_pool(block.conv, block.pool);
  check(tiles.refused.empty() && tiles.samples == samples && tiles.windows == windows &&
            tiles.pixels == pixels,
        block.text + ": the box, not " + tiles.refused);
  check_tiles(block);
}

void check_refused(const Block& block, const char* reason) {
  const std::string& said = cuda::tile_implicit_pool(block.conv, block.pool).refused;
  check(said.find(reason) != std::string::npos, block.text + ": " + reason + "; got " + said);
}

}  // namespace

int main(int argc, char** argv) {
  const int problems = argc > 1 ? std::atoi(argv[1]) : 400;
  std::mt19937_64 rng(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::to_string(std::uniform_int_distribution<int64_t>(low, high)(rng));
  };

  const std::string vgg = "conv2d 8x64x64x64 64x64x3x3 padding=1 dtype=float16";
  check_box({vgg, "kernel=2"}, 1, {1, 4, 8}, {1, 8, 16});
  check_box({"conv2d 8x64x55x55 64x64x1x1", "kernel=3 stride=2"}, 2, {1, 3, 4}, {1, 7, 9});
  check_box({"conv2d 1x3x224x224 64x3x7x7 stride=2 padding=3", "kernel=3 stride=2 padding=1"}, 1,
            {1, 3, 8}, {1, 7, 17});
  check_box({"conv2d 8x32x8x8 64x32x3x3 padding=1", "kernel=2"}, 2, {1, 4, 4}, {1, 8, 8});
  check_box({"conv2d 3x32x7x7 64x32x3x3 padding=1", "kernel=7"}, 2, {1, 1, 1}, {1, 7, 7});
  check_box({"conv1d 1x64x500 64x64x1", "kernel=2"}, 1, {1, 1, 63}, {1, 1, 126});
  check_box({"conv3d 1x8x8x16x16 8x8x3x3x3 padding=1", "kernel=2"}, 1, {4, 2, 2}, {8, 4, 4});
  check_refused({"conv2d 8x64x8x8 64x64x3x3 padding=1", "kernel=2"},
                "sums are made of 2 parts, needs one");
  check_refused({vgg, "kernel=12"}, "a window reaches over 1x12x12 pixels, needs at most 128");
  check_refused({vgg, "kernel=5 stride=1"}, "256 are the convolution's: needs at most 2 times");
  check_refused({"conv2d 8x64x27x27 192x64x5x5 padding=2", "kernel=3 stride=2"},
                "whole windows take 72 tiles, 46 are the convolution's: too many for sums of 1600");
  check_refused({"conv1d 1x1x1 2147000000x1x1", "kernel=2 stride=1 padding=1"}, "2^31 elements");

  for (int i = 0; i < problems; ++i) {
    const bool flat = pick(0, 1) == "0";
    const std::string size = flat ? pick(1, 40) + "x" + pick(1, 40) : pick(1, 300);
    const std::string kernel = flat ? "3x2" : "2", rank = flat ? "2" : "1";
    const std::string conv =
        "conv" + rank + "d " + pick(1, 9) + "x8x" + size + " 8x8x" + kernel + " padding=2";
    const auto both = [&](int64_t low, int64_t high) {
      return flat ? pick(low, high) + "," + pick(low, high) : pick(low, high);
    };
    const std::string words = "kernel=" + both(1, 5) + " stride=" + both(1, 4) +
                              " dilation=" + both(1, 3) + (pick(0, 1) == "0" ? " ceil" : "");
    try {
      check_tiles({conv, words});
    } catch (const Error&) {  // no window fits into the result
    }
  }
  std::printf("conv pool tiles: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
