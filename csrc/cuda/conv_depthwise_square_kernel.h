// SPDX-License-Identifier: BSD-3-Clause
// Forward and input gradient with square filters: a correlation of the source with a window, where
// one position of the window makes kSpread x kSpread results (see conv_depthwise_tiles.h):
//   result(kSpread * i + a) = sum over r of source(i * kStep + lower + r) * filter(tap(a, r)),
//   tap(a, r) = a + kSpread * (kWindow - 1 - r), the filter reversed for a forward convolution.
// A block stages a box of the source in shared memory; a thread walks down a strip of one column
// and adds each row of the source, once loaded, to every result that it touches. Where the results
// are one segment of memory they leave through shared memory as well, 16 bytes at once.
#pragma once
#include <algorithm>

#include "../problem/text.h"
#include "arch/math.h"
#include "conv_depthwise_result.h"
#include "conv_depthwise_square_reach.h"
#include "conv_depthwise_stage.h"
#include "conv_depthwise_tiles.h"
#include "element.h"
#include "grid.h"
#include "launch.h"
#include "tensors.h"

namespace cnnkern::cuda {

struct SquareCall {
  SquareAxis h, w;
  Staging source, result;
  int source_image, result_image;  // strides
  int channels, tile_channels, tile_rows, tile_columns, items;
  int source_elements, result_elements;
  Divisor<int32_t> filters;  // of a merged batch, filters repeat
  Divisor<int32_t> channel_tiles, row_tiles, column_tiles;
  Divisor<int32_t> fastest, middle;  // sizes of an item's axes
  int64_t filter_stride[3];          // k, h, w
  bool reversed, relu, staged_result, channels_last;
};

template <class T, int kTaps, int kStep, int kSpread>
__global__ void __launch_bounds__(256, kTaps == 3 ? 4 : 2)
    depthwise_square_kernel(SquareCall g, const T* source, const T* filter, const T* bias,
                            T* result) {
  using A = Compute<T>;
  constexpr int kWindow = (kTaps + kSpread - 1) / kSpread;
  constexpr int kRows = kSpread == 1 ? 8 : 4;
  CK_SMEM(raw);
  T* const source_tile = reinterpret_cast<T*>(raw);
  T* const result_tile = source_tile + g.source_elements;
  A* const filters = reinterpret_cast<A*>(result_tile + g.result_elements);

  int image = int(blockIdx.x);
  int column_tile = image;
  image = split(column_tile, g.column_tiles);
  int row_tile = image;
  image = split(row_tile, g.row_tiles);
  int channel_tile = image;
  image = split(channel_tile, g.channel_tiles);
  const int c0 = channel_tile * g.tile_channels;
  const int channels = min(g.tile_channels, g.channels - c0);
  const int i0 = row_tile * g.tile_rows, i1 = min(i0 + g.tile_rows, g.h.steps);
  const int j0 = column_tile * g.tile_columns, j1 = min(j0 + g.tile_columns, g.w.steps);

  const Reach rows = reach<kStep, kWindow>(g.h, i0, i1);
  const Reach columns = g.source.segments == Segments::flat ? Reach{0, g.w.sources}
                                                            : reach<kStep, kWindow>(g.w, j0, j1);
  const Box box{c0, channels, rows.begin, rows.end, columns.begin, columns.end};
  const T* const staged = stage(g.source, box, source + image * g.source_image, source_tile);
  for (int i = int(threadIdx.x); i < channels * kTaps * kTaps; i += int(blockDim.x)) {
    const int c = i / (kTaps * kTaps), tap = i - c * (kTaps * kTaps);
    const int r = tap / kTaps, s = tap - r * kTaps;
    int k = c0 + c;
    split(k, g.filters);
    const int place = g.reversed ? kTaps * kTaps - 1 - tap : tap;
    filters[c * (kTaps * kTaps) + place] =
        widen(filter[k * g.filter_stride[0] + r * g.filter_stride[1] + s * g.filter_stride[2]]);
  }

  // Where results go: to the tile of this block, or to their place at once.
  const Box result_box{
      c0, channels,   max(0, i0 * kSpread + g.h.first), min(g.h.results, i1 * kSpread + g.h.first),
      0,  g.w.results};
  T* const result_start = result + image * g.result_image + c0 * g.result.channel +
                          (g.staged_result ? result_box.row0 * g.result.row : 0);
  const int shift = g.staged_result ? misaligned(g.result, result_start) : 0;
  T* const out =
      g.staged_result ? result_tile + shift - result_box.row0 * g.result.row : result_start;
  __syncthreads();

  for (int item = int(threadIdx.x); item < g.items; item += int(blockDim.x)) {
    int inner = item;
    int between = split(inner, g.fastest);
    const int outer = split(between, g.middle);
    // Contiguous: column, strip, channel; channels_last: channel, column, strip.
    const int c = g.channels_last ? inner : outer;
    const int j = j0 + (g.channels_last ? between : inner);
    const int i = i0 + kRows * (g.channels_last ? outer : between);
    if (c >= channels || i >= i1 || j >= j1) continue;

    A taps[kTaps * kTaps];
#pragma unroll
    for (int t = 0; t < kTaps * kTaps; ++t) taps[t] = filters[c * (kTaps * kTaps) + t];
    const int row = i * kStep + g.h.lower, column = j * kStep + g.w.lower;
    const int at = c * g.source.local_channel + (row - rows.begin) * g.source.local_row +
                   (column - columns.begin) * g.source.local_column;
    bool inside[kWindow];
#pragma unroll
    for (int s = 0; s < kWindow; ++s) {
      inside[s] = column + s >= columns.begin && column + s < columns.end;
    }
    A sums[kRows][kSpread][kSpread] = {};
#pragma unroll
    for (int u = 0; u < (kRows - 1) * kStep + kWindow; ++u) {
      if (row + u < rows.begin || row + u >= rows.end) continue;
      A values[kWindow];
#pragma unroll
      for (int s = 0; s < kWindow; ++s) {
        values[s] = inside[s]
                        ? A(widen(staged[at + u * g.source.local_row + s * g.source.local_column]))
                        : A(0);
      }
#pragma unroll
      for (int v = 0; v < kRows; ++v) {
        const int r = u - v * kStep;
        if (r < 0 || r >= kWindow) continue;
#pragma unroll
        for (int a = 0; a < kSpread; ++a) {
          const int tap_row = a + kSpread * (kWindow - 1 - r);
          if (tap_row >= kTaps) continue;
#pragma unroll
          for (int b = 0; b < kSpread; ++b) {
#pragma unroll
            for (int s = 0; s < kWindow; ++s) {
              const int tap_column = b + kSpread * (kWindow - 1 - s);
              if (tap_column >= kTaps) continue;
              sums[v][a][b] = fma(values[s], taps[tap_row * kTaps + tap_column], sums[v][a][b]);
            }
          }
        }
      }
    }

    int k = c0 + c;
    split(k, g.filters);
    const A offset = bias ? A(widen(bias[k])) : A(0);
    T* const to = out + c * g.result.channel;
#pragma unroll
    for (int v = 0; v < kRows; ++v) {
#pragma unroll
      for (int a = 0; a < kSpread; ++a) {
        const int h = (i + v) * kSpread + g.h.first + a;
        if (i + v >= i1 || h < 0 || h >= g.h.results) continue;
#pragma unroll
        for (int b = 0; b < kSpread; ++b) {
          const int w = j * kSpread + g.w.first + b;
          if (w < 0 || w >= g.w.results) continue;
          const Vector<T, 1> value{{depthwise_result<T>(sums[v][a][b], offset, g.relu)}};
          store(to + h * g.result.row + w * g.result.column, value);
        }
      }
    }
  }

  if (g.staged_result) {
    __syncthreads();
    unstage(g.result, result_box, result_tile + shift, shift, result_start);
  }
}

template <class T, int kTaps, int kStep, int kSpread>
void run_square(const ConvProblem& g, Direction direction, const T* source,
                const WeightView& filter, const T* bias, T* result, Stream stream) {
  const bool adjoint = direction == Direction::input_grad;
  const SquareTiles t =
      square_tiles(g, direction, is_aligned(source, 16) && is_aligned(result, 16));
  constexpr int kRows = kSpread == 1 ? 8 : 4;
  SquareCall call{};
  call.h = t.h;
  call.w = t.w;
  call.source = Staging(t.source);
  call.result = Staging(t.result);
  call.source_image = static_cast<int>(g.c) * t.h.sources * t.w.sources;
  call.result_image = static_cast<int>(g.c) * t.h.results * t.w.results;
  call.channels = t.channels;
  call.tile_channels = t.tile_channels;
  call.tile_rows = t.tile_rows;
  call.tile_columns = t.tile_columns;
  call.source_elements = t.source_elements;
  call.result_elements = t.staged_result ? t.result_elements : 0;
  call.filters = Divisor<int32_t>(g.c);
  call.channel_tiles = Divisor<int32_t>(t.channel_tiles);
  call.row_tiles = Divisor<int32_t>(t.row_tiles);
  call.column_tiles = Divisor<int32_t>(t.column_tiles);
  call.channels_last = g.format == Format::channels_last;
  const int strips = static_cast<int>(ceil_div(t.tile_rows, kRows));
  call.fastest = Divisor<int32_t>(call.channels_last ? t.tile_channels : t.tile_columns);
  call.middle = Divisor<int32_t>(call.channels_last ? t.tile_columns : strips);
  call.items = t.tile_channels * t.tile_columns * strips;
  call.filter_stride[0] = filter.stride[0];
  call.filter_stride[1] = filter.stride[3];
  call.filter_stride[2] = filter.stride[4];
  call.reversed = !adjoint;
  call.relu = g.relu;
  call.staged_result = t.staged_result;

  const int64_t rounds = ceil_div(call.items, 256);
  const int64_t threads = ceil_div(ceil_div(call.items, rounds), 32) * 32;
  const size_t bytes =
      static_cast<size_t>(call.source_elements + call.result_elements) * sizeof(T) +
      static_cast<size_t>(t.tile_channels) * kTaps * kTaps * sizeof(Compute<T>);
  const int64_t blocks = checked_grid(
      op_of(g).c_str(), int64_t{t.images} * t.channel_tiles * t.row_tiles * t.column_tiles);
  launch(depthwise_square_kernel<T, kTaps, kStep, kSpread>, dim3(static_cast<unsigned>(blocks)),
         dim3(static_cast<unsigned>(threads)), bytes, stream, call, source,
         static_cast<const T*>(filter.data), bias, result);
}

template <int kTaps>
void run_square(const ConvProblem& g, Direction direction, const void* source,
                const WeightView& filter, const void* bias, void* result, Stream stream) {
  const auto run = [&](auto element) {
    using T = decltype(element);
    const T *const from = static_cast<const T*>(source), *const offsets =
                                                             static_cast<const T*>(bias);
    T* const to = static_cast<T*>(result);
    if (g.stride[1] == 1) {
      run_square<T, kTaps, 1, 1>(g, direction, from, filter, offsets, to, stream);
    } else if constexpr (kTaps < 7) {
      if (direction == Direction::forward) {
        run_square<T, kTaps, 2, 1>(g, direction, from, filter, offsets, to, stream);
      } else {
        run_square<T, kTaps, 1, 2>(g, direction, from, filter, offsets, to, stream);
      }
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
