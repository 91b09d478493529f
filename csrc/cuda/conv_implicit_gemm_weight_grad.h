// SPDX-License-Identifier: BSD-3-Clause
// What the kernels of conv_implicit_gemm_weight_grad_kernel.h are told.
//   dw[k, t, c] = sum over pixels of dy[k, pixel] * x[c, pixel * stride - pad + t * dilation]
// Rows are k of a group, columns (tap, c) with c the fastest. The sum over pixels is cut into
// splits, each of which writes a matrix of its own; a second kernel adds these in the order of
// their numbers. Channels of x and dy lie side by side, in groups of a multiple of 16 bytes.
#pragma once
#include "../problem/conv_problem.h"
#include "conv_implicit_gemm_gather.h"
#include "index.h"
#include "tensors.h"

namespace cnnkern::cuda {

struct ImplicitWeightGradParameters {
  struct Axis {
    int32_t in, out, stride, base, step;
    Divisor<int32_t> taps;
  };
  Axis axis[3];

  const void *dy, *x;
  float* sums;  // [splits][groups][rows][columns], then [splits][groups][rows] of the bias
  int32_t pixels, split_pixels, splits;
  int32_t rows, columns;  // of one group
  int32_t dy_pixel, dy_group;
  int32_t x_sample, x_group, x_axis[3];
  // A block's number is split, group, tile of rows, tile of columns.
  Divisor<int32_t> row_tiles, column_tiles, groups;
  Divisor<int32_t> channels;  // of one group of x
  bool with_bias;
  bool adds;  // to the sums of the samples before these
};

// The second kernel: dw[k, c, t] and db[k] from the splits.
struct ImplicitWeightSumsParameters {
  const float* sums;
  void *dw, *db;
  int64_t matrix;  // elements of a split
  int32_t splits, all_rows, rows, columns;
  int32_t channels, padded;  // of one group of x; those that the matrix has
  Divisor<int32_t> taps[3];
  int64_t dw_k, dw_channel, dw_axis[3];
};
constexpr int kWeightSumsThreads = 256;

template <class T>
void launch_implicit_weight_grad(const ImplicitWeightGradParameters&, MmaTileSize, unsigned blocks,
                                 Stream);
// Results as T.
template <class T>
void launch_implicit_weight_sums(const ImplicitWeightSumsParameters&, Stream);

}  // namespace cnnkern::cuda
