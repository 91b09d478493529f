// SPDX-License-Identifier: BSD-3-Clause
// How tiles of an implicit matrix product cover whole windows of a max pool, so that one kernel
// computes both. No CUDA.
//
// A tile's rows are a box: some samples, and along each axis the pixels of the convolution that so
// many neighbouring windows reach. Windows that overlap, or end in another tile's box, have pixels
// that are computed more than once.
#pragma once
#include <string>

#include "../problem/conv_problem.h"
#include "../problem/pool_problem.h"

namespace cnnkern::cuda {

constexpr int64_t kPoolTileRows = 128;
// Tiles of the fused product for one of the convolution's own.
constexpr int64_t kMostPoolTiles = 2;
// And the multiply-adds that tiles do again, for each of the convolution's results: as many as
// mma.sync does while a 16-bit result goes to memory and back, 4 bytes, at about 64 a byte. tf32
// has half the rate and twice the bytes.
constexpr int64_t kMostPoolTerms = 256;

struct ImplicitPoolTiles {
  std::string refused;            // why there are none; empty where there are
  int64_t samples = 0;            // of one tile
  Extent windows{}, pixels{};     // of one tile, along each axis
  Extent tiles{};                 // along each axis
  Extent strides{}, dilations{};  // the pool's; 1 where there is one window, one tap

  int64_t in_launch(int64_t samples_of_launch) const {
    return ((samples_of_launch - 1) / samples + 1) * tiles[0] * tiles[1] * tiles[2];
  }
};

// The box with the fewest tiles; of such, the one that reaches the fewest inputs.
ImplicitPoolTiles tile_implicit_pool(const ConvProblem&, const PoolProblem&);

}  // namespace cnnkern::cuda
