// SPDX-License-Identifier: BSD-3-Clause
// What the kernel of conv_implicit_gemm_pool_kernel.h is told: a forward convolution, whose
// destination is the max pool's, and the windows of a tile (conv_implicit_gemm_pool_tiles.h).
#pragma once
#include "conv_implicit_gemm_gather.h"

namespace cnnkern::cuda {

struct ImplicitPoolParameters {
  // Of one phase; y and its strides are the pool's. A block's number is group, tile of pixels (tile
  // of samples, of depth, height, width), tile of columns.
  ImplicitGatherParameters conv;
  struct Axis {
    int32_t outputs;      // of the pool
    int32_t taps;         // of a window
    int32_t stride, pad;  // window p begins at pixel p * stride - pad
    // Rows of a tile from a window to the next, from a tap to the next.
    int32_t window_rows, tap_rows;
    Divisor<int32_t> tiles;            // along the axis
    Divisor<int32_t> windows, pixels;  // of a tile
  };
  Axis axis[3];
  int32_t samples;           // of a tile
  Divisor<int32_t> outputs;  // windows of a tile, of all its samples
  int32_t sample_rows;
};

// Filters lie along the reduction: there are no instances for ImplicitLoads::steps_across.
template <class T>
void launch_implicit_pool(const ImplicitPoolParameters&, MmaTileSize, ImplicitLoads,
                          unsigned blocks, Stream);

}  // namespace cnnkern::cuda
