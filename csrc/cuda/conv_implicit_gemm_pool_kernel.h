// SPDX-License-Identifier: BSD-3-Clause
// A forward convolution as in conv_implicit_gemm_gather_kernel.h whose tile covers whole windows of
// a max pool: its results stay in shared memory, and only the maxima are written.
//   rows: ((n * D + d) * H + h) * W + w is pixel (d, h, w) of the box of the tile's sample n, of
//   D x H x W pixels; along each axis the box begins at window * stride - pad, where the tile's
//   first window does
// Rows outside of the convolution's result, which is the pool's padding, are -infinity.
#pragma once
#include <cmath>

#include "conv_implicit_gemm_gather_kernel.h"
#include "conv_implicit_gemm_pool_windows.h"

namespace cnnkern::cuda {

// Where a block's tile begins.
struct PoolTilePlace {
  int32_t sample, window[3];

  __device__ PoolTilePlace(const ImplicitPoolParameters& p, int32_t tile) {
#pragma unroll
    for (int a = 2; a >= 0; --a) window[a] = pop(tile, p.axis[a].tiles) * p.axis[a].windows.d;
    sample = tile * p.samples;
  }
};

// A window of a tile: its first row, and where its maximum goes; -1 where there is no such output.
struct PoolTileWindow {
  int32_t row, to;

  __device__ PoolTileWindow(const ImplicitPoolParameters& p, const PoolTilePlace& place,
                            int32_t number)
      : row(0), to(0) {
    bool exists = true;
#pragma unroll
    for (int a = 2; a >= 0; --a) {
      const int32_t window = pop(number, p.axis[a].windows), output = place.window[a] + window;
      row += window * p.axis[a].window_rows;
      exists = exists && output < p.axis[a].outputs;
      to += exists ? output * p.conv.y_axis[a] : 0;
    }
    row += number * p.sample_rows;
    exists = exists && place.sample + number < p.conv.samples;
    to = exists ? to + (place.sample + number) * p.conv.y_sample : -1;
  }
};

// NaN wins. Ties go to the first in row-major order: equal zeros have signs.
template <int kRun, class T>
__device__ Vector<T, kRun> window_maximum(const ImplicitPoolParameters& p, const T* staged,
                                          int pitch) {
  float best[kRun];
#pragma unroll
  for (int v = 0; v < kRun; ++v) best[v] = -INFINITY;
  for (int32_t d = 0; d < p.axis[0].taps; ++d)
    for (int32_t h = 0; h < p.axis[1].taps; ++h)
      for (int32_t w = 0; w < p.axis[2].taps; ++w) {
        const int32_t row =
            d * p.axis[0].tap_rows + h * p.axis[1].tap_rows + w * p.axis[2].tap_rows;
        const Vector<T, kRun> values = load<kRun>(staged + row * pitch);
#pragma unroll
        for (int v = 0; v < kRun; ++v) {
          const float value = widen(values.value[v]);
          best[v] = value > best[v] || value != value ? value : best[v];
        }
      }
  Vector<T, kRun> result;
#pragma unroll
  for (int v = 0; v < kRun; ++v) result.value[v] = narrow<T>(best[v]);
  return result;
}

// kRun neighbouring channels of y at a time; along outputs where channels do not lie side by side.
template <class T, class Tile, int kRun>
__device__ void store_maxima(const ImplicitPoolParameters& p, const PoolTilePlace& place,
                             const T* staged, T* y, int columns) {
  constexpr int kPitch = GatherStaging<T, Tile>::kPitch, kRuns = Tile::kN / kRun;
  const bool along_channels = kRun > 1 || p.conv.y_channel == 1;
  for (int i = int(threadIdx.x); i < p.outputs.d * kRuns; i += Tile::kThreads) {
    int32_t window = i / kRuns, column = i % kRuns * kRun;
    if (!along_channels) {
      window = i;
      column = split(window, p.outputs);
    }
    const PoolTileWindow from(p, place, window);
    if (from.to < 0 || column >= columns) continue;
    store<kRun>(y + from.to + column * p.conv.y_channel,
                window_maximum<kRun>(p, staged + from.row * kPitch + column, kPitch));
  }
}

template <class T, class Tile, ImplicitLoads loads>
__global__ void __launch_bounds__(Tile::kThreads)
    conv_implicit_pool_kernel(const ImplicitPoolParameters p) {
  using Rows = GatherRows<T, Tile, loads>;
  const ImplicitGatherParameters& g = p.conv;
  CK_SMEM(raw);
  int32_t* const inside = reinterpret_cast<int32_t*>(raw + kGatherBuffers<T, Tile>);

  int32_t rest = int32_t(blockIdx.x);
  const int32_t first_column = pop(rest, g.column_tiles) * Tile::kN;
  const PoolTilePlace place(p, pop(rest, g.pixel_tiles));
  const int32_t group = rest;
  const ImplicitGatherParameters::Axis axis[3] = {g.axis[0][0], g.axis[1][0], g.axis[2][0]};

  Rows rows;
#pragma unroll
  for (int i = 0; i < Rows::kRows; ++i) {
    const int row = Rows::first() + i * Rows::kSpan;
    int32_t at[3], sample = row;
    bool exists = true;
#pragma unroll
    for (int a = 2; a >= 0; --a) {
      const int32_t pixel =
          place.window[a] * p.axis[a].stride - p.axis[a].pad + pop(sample, p.axis[a].pixels);
      const bool given = pixel >= 0 && pixel < axis[a].out.d;
      at[a] = given ? pixel : 0;
      exists = exists && given;
    }
    exists = exists && sample < p.samples && place.sample + sample < g.samples;
    rows.row[i] = gather_row(g, axis, group, place.sample + sample, at, exists);
    if (Rows::copy() == 0) inside[row] = exists;
  }

  const int32_t columns = g.columns - first_column;
  MmaSums<Tile> sums = multiply_gathered<T, Tile, loads, false>(
      g, axis, group, first_column, 0, gathered_steps<T>(g, axis), rows, raw);

  T* const staged = reinterpret_cast<T*>(raw);
  const T* const bias =
      g.bias ? static_cast<const T*>(g.bias) + group * g.columns + first_column : nullptr;
  const T lowest = narrow<T>(-INFINITY);
  sums.for_each_pair([&](int row, int column, float low, float high) {
    const Vector<T, 2> results = inside[row] ? result_pair(g, bias, column, columns, low, high)
                                             : Vector<T, 2>{{lowest, lowest}};
    store<2>(staged + row * GatherStaging<T, Tile>::kPitch + column, results);
  });
  __syncthreads();
  T* const y = static_cast<T*>(g.y) + (group * g.columns + first_column) * g.y_channel;
  if (g.vectors) {
    store_maxima<T, Tile, kLanes<T>>(p, place, staged, y, columns);
  } else {
    store_maxima<T, Tile, 1>(p, place, staged, y, columns);
  }
}

template <class T, MmaTileSize size, ImplicitLoads loads>
void launch_implicit_pool_instance(const ImplicitPoolParameters& p, unsigned blocks,
                                   Stream stream) {
  using Tile = typename GatherMmaTile<size, false>::type;
  constexpr size_t kBytes = kGatherBuffers<T, Tile> + Tile::kM * sizeof(int32_t);
  launch(conv_implicit_pool_kernel<T, Tile, loads>, dim3(blocks), dim3(Tile::kThreads), kBytes,
         stream, p);
}

// Defined for one T in a file of its own, so that they compile side by side. All tiles have 128
// rows; few channels make small products, of which there is no large tile.
template <class T>
void launch_implicit_pool(const ImplicitPoolParameters& p, MmaTileSize size, ImplicitLoads loads,
                          unsigned blocks, Stream stream) {
  using enum ImplicitLoads;
  constexpr MmaTileSize kLarge = MmaTileSize::large, kMedium = MmaTileSize::medium;
  if (loads == steps && size == kLarge)
    return launch_implicit_pool_instance<T, kLarge, steps>(p, blocks, stream);
  if (loads == steps) return launch_implicit_pool_instance<T, kMedium, steps>(p, blocks, stream);
  if (loads == chunks) return launch_implicit_pool_instance<T, kMedium, chunks>(p, blocks, stream);
  // Of 4 bytes an element, 4 channels are a whole chunk.
  if constexpr (sizeof(T) == 2)
    launch_implicit_pool_instance<T, kMedium, half_chunks>(p, blocks, stream);
}

}  // namespace cnnkern::cuda
