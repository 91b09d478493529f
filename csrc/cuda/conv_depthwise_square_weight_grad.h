// SPDX-License-Identifier: BSD-3-Clause
// Weight gradient with square filters: first stage of conv_depthwise_weight_grad.h for the problems
// that square_serves names. A block has some channels and a split of the tiles; it stages the x of
// a tile in shared memory, and a thread walks down strips of one column of its channel: each row of
// x, once loaded, meets every dy of the strip that it touches, in one sum a tap. Sums move to
// totals in shared memory before they have 128 terms; these are added up at the end.
#pragma once
#include "../problem/text.h"
#include "arch/math.h"
#include "conv_depthwise_splits.h"
#include "conv_depthwise_square_reach.h"
#include "conv_depthwise_stage.h"
#include "conv_depthwise_tiles.h"
#include "conv_depthwise_totals.h"
#include "element.h"
#include "grid.h"
#include "launch.h"

namespace cnnkern::cuda {

struct SquareWeightCall {
  SquareAxis h, w;
  Staging x, dy;
  int x_image, dy_image;  // strides
  int channels, tile_channels, tile_rows, tile_columns;
  int strips, lanes, units, splits;
  int x_elements, dy_elements;  // of shared memory
  Divisor<int32_t> channel_tiles, row_tiles, column_tiles, divide_columns;
  bool staged_dy, channels_last;
};

// Totals of a wide filter need much shared memory.
template <int kTaps>
constexpr int kSquareWeightThreads = kTaps == 7 ? 128 : 256;

template <class T, int kTaps, int kStep>
__global__ void __launch_bounds__(kSquareWeightThreads<kTaps>, kTaps == 3 ? 3 : 2)
    depthwise_square_weight_kernel(SquareWeightCall g, const T* dy, const T* x,
                                   Compute<T>* workspace) {
  using A = Compute<T>;
  constexpr int kThreads = kSquareWeightThreads<kTaps>, kRows = 8, kSums = kTaps * kTaps;
  CK_SMEM(raw);
  T* const x_tile = reinterpret_cast<T*>(raw);
  T* const dy_staged = x_tile + g.x_elements;
  A* const totals = reinterpret_cast<A*>(dy_staged + g.dy_elements);
  const int thread = int(threadIdx.x);
#pragma unroll
  for (int t = 0; t <= kSums; ++t) totals[t * kThreads + thread] = 0;

  int channel_tile = int(blockIdx.x);
  const int split_index = split(channel_tile, g.channel_tiles);
  const int c0 = channel_tile * g.tile_channels;
  const int channels = min(g.tile_channels, g.channels - c0);
  const int channel = g.channels_last ? thread % g.tile_channels : thread / g.lanes;
  const int lane = g.channels_last ? thread / g.tile_channels : thread % g.lanes;

  // Each dy is one thread's alone, so it need not be staged where lanes read neighbours.
  const int dy_channel = g.staged_dy ? g.dy.local_channel : g.dy.channel;
  const int dy_row = g.staged_dy ? g.dy.local_row : g.dy.row;
  const int dy_column = g.staged_dy ? g.dy.local_column : g.dy.column;

  A sums[kTaps][kTaps] = {}, grad_sum = 0;
  const auto flush = [&] {
#pragma unroll
    for (int t = 0; t < kSums; ++t) {
      totals[t * kThreads + thread] += sums[t / kTaps][t % kTaps];
      sums[t / kTaps][t % kTaps] = 0;
    }
    totals[kSums * kThreads + thread] += grad_sum;
    grad_sum = 0;
  };
  int terms = 0;
  const int first = int(int64_t(g.units) * split_index / g.splits);
  const int last = int(int64_t(g.units) * (split_index + 1) / g.splits);
  for (int unit = first; unit < last; ++unit) {
    int column_tile = unit;
    int row_tile = split(column_tile, g.column_tiles);
    const int image = split(row_tile, g.row_tiles);
    const int i0 = row_tile * g.tile_rows, i1 = min(i0 + g.tile_rows, g.h.steps);
    const int j0 = column_tile * g.tile_columns, j1 = min(j0 + g.tile_columns, g.w.steps);
    const bool flat = g.x.segments == Segments::flat;
    const Reach rows = reach<kStep, kTaps>(g.h, i0, i1);
    const Reach columns = flat ? Reach{0, g.w.sources} : reach<kStep, kTaps>(g.w, j0, j1);
    if (unit > first) __syncthreads();
    const T* const x_staged =
        stage(g.x, Box{c0, channels, rows.begin, rows.end, columns.begin, columns.end},
              x + image * g.x_image, x_tile);
    const T* const dy_image = dy + image * g.dy_image;
    const T* const dy_tile =
        g.staged_dy ? stage(g.dy, Box{c0, channels, i0, i1, j0, j1}, dy_image, dy_staged)
                    : dy_image + c0 * g.dy.channel + i0 * g.dy.row + j0 * g.dy.column;
    __syncthreads();
    if (channel >= channels) continue;

    for (int item = lane; item < g.strips * g.tile_columns; item += g.lanes) {
      int j = item;
      const int i = i0 + kRows * split(j, g.divide_columns);
      j += j0;
      const int valid = i1 - i;
      if (valid <= 0 || j >= j1) continue;
      A grads[kRows];
      const T* const from =
          dy_tile + channel * dy_channel + (i - i0) * dy_row + (j - j0) * dy_column;
#pragma unroll
      for (int v = 0; v < kRows; ++v) {
        grads[v] = v < valid ? A(widen(from[v * dy_row])) : A(0);
        grad_sum += grads[v];
      }
      const int row = i * kStep + g.h.lower, column = j * kStep + g.w.lower;
      const int at = channel * g.x.local_channel + (row - rows.begin) * g.x.local_row +
                     (column - columns.begin) * g.x.local_column;
      bool inside[kTaps];
#pragma unroll
      for (int s = 0; s < kTaps; ++s) {
        inside[s] = column + s >= columns.begin && column + s < columns.end;
      }
#pragma unroll
      for (int u = 0; u < (kRows - 1) * kStep + kTaps; ++u) {
        if (row + u < rows.begin || row + u >= rows.end) continue;
        A values[kTaps];
#pragma unroll
        for (int s = 0; s < kTaps; ++s) {
          values[s] =
              inside[s] ? A(widen(x_staged[at + u * g.x.local_row + s * g.x.local_column])) : A(0);
        }
#pragma unroll
        for (int v = 0; v < kRows; ++v) {
          const int r = u - v * kStep;
          // Not as a product with zero: x may be infinite.
          if (r < 0 || r >= kTaps || v >= valid) continue;
#pragma unroll
          for (int s = 0; s < kTaps; ++s) sums[r][s] = fma(values[s], grads[v], sums[r][s]);
        }
      }
      terms += kRows;
      if (terms == kBlockedTerms) {
        flush();
        terms = 0;
      }
    }
  }
  flush();
  __syncthreads();
  add_totals<kThreads>(
      totals, kSums + 1, g.tile_channels, g.lanes, g.channels_last, [&](int c, int tap, A total) {
        if (c >= channels) return;
        workspace[(int64_t(split_index) * g.channels + c0 + c) * (kSums + 1) + tap] = total;
      });
}

template <class T, int kTaps, int kStep>
void run_square_weight(const ConvProblem& g, const T* dy, const T* x, void* workspace,
                       Stream stream) {
  using A = Compute<T>;
  constexpr int kThreads = kSquareWeightThreads<kTaps>, kRows = 8;
  const SquareTiles t =
      square_tiles(g, Direction::weight_grad, is_aligned(x, 16) && is_aligned(dy, 16));
  SquareWeightCall call{};
  call.h = t.h;
  call.w = t.w;
  call.x = Staging(t.source);
  call.dy = Staging(t.result);
  call.x_image = t.channels * t.h.sources * t.w.sources;
  call.dy_image = t.channels * t.h.results * t.w.results;
  call.channels = t.channels;
  call.tile_channels = t.tile_channels;
  call.tile_rows = t.tile_rows;
  call.tile_columns = t.tile_columns;
  call.strips = static_cast<int>(ceil_div(t.tile_rows, kRows));
  call.lanes = kThreads / t.tile_channels;
  call.units = static_cast<int>(square_weight_units(t));
  call.splits = static_cast<int>(square_weight_splits(g));
  call.x_elements = t.source_elements;
  call.dy_elements = t.staged_result ? t.result_elements : 0;
  call.staged_dy = t.staged_result;
  call.channel_tiles = Divisor<int32_t>(t.channel_tiles);
  call.row_tiles = Divisor<int32_t>(t.row_tiles);
  call.column_tiles = Divisor<int32_t>(t.column_tiles);
  call.divide_columns = Divisor<int32_t>(t.tile_columns);
  call.channels_last = g.format == Format::channels_last;
  const size_t bytes = static_cast<size_t>(call.x_elements + call.dy_elements) * sizeof(T) +
                       size_t{kTaps * kTaps + 1} * kThreads * sizeof(A);
  const int64_t blocks = checked_grid(op_of(g).c_str(), int64_t{t.channel_tiles} * call.splits);
  launch(depthwise_square_weight_kernel<T, kTaps, kStep>, dim3(static_cast<unsigned>(blocks)),
         dim3(kThreads), bytes, stream, call, dy, x, static_cast<A*>(workspace));
}

template <int kTaps>
void run_square_weight(const ConvProblem& g, const void* dy, const void* x, void* workspace,
                       Stream stream) {
  const auto run = [&](auto element) {
    using T = decltype(element);
    const T *const grads = static_cast<const T*>(dy), *const from = static_cast<const T*>(x);
    if (g.stride[1] == 1) {
      run_square_weight<T, kTaps, 1>(g, grads, from, workspace, stream);
    } else if constexpr (kTaps < 7) {
      run_square_weight<T, kTaps, 2>(g, grads, from, workspace, stream);
    }
  };
  switch (g.dtype) {
    case DataType::float16:
      return run(__half());
    case DataType::bfloat16:
      return run(__nv_bfloat16());
    default:
      return run(float());
  }
}

}  // namespace cnnkern::cuda
