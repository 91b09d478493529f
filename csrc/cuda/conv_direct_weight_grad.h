// SPDX-License-Identifier: BSD-3-Clause
// What the kernels of conv_direct_weight_grad_kernel.h are told, and how a problem is cut for them.
//   dw[k, c, t] = sum over pixels of dy[k, pixel] * x[c, pixel * stride - pad + t * dilation]
// Rows are (c, tap) of a group, columns its k. The sum over pixels is cut into splits, each of
// which writes a matrix of its own; a second kernel adds these in the order of their numbers.
#pragma once
#include "conv_direct_cut.h"
#include "index.h"
#include "tensors.h"

namespace cnnkern::cuda {

template <class Index>
struct WeightGradParameters {
  struct Axis {
    Index in, out, stride, base, step;
    Divisor<Index> taps;
  };
  Axis axis[3];

  const void *dy, *x;
  void *dw, *db;
  void* sums;  // [splits][k][rows], then [splits][k] of the bias; null with one split
  Index pixels, split_pixels, splits;
  Index rows, columns;  // of one group
  Index dy_sample, dy_channel, dy_axis[3];
  Index x_sample, x_channel, x_axis[3];
  Index dw_k, dw_channel, dw_axis[3];
  // A block's number is split, group, tile of columns, tile of rows.
  Divisor<Index> row_tiles, column_tiles, groups;
  Divisor<Index> channels;  // of one group
  Divisor<Index> all_rows;  // rows, as a divisor
  bool channels_last;       // lanes go along channels, else along pixels
};

struct WeightGradGrids {
  unsigned blocks, adding_blocks;
};
constexpr int kAddingThreads = 256;

template <class T, class Index>
void launch_weight_grad(const WeightGradParameters<Index>&, WeightGradTile, const WeightGradGrids&,
                        Stream);

}  // namespace cnnkern::cuda
