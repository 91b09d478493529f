// SPDX-License-Identifier: BSD-3-Clause
// result[n, c, o] = bias[c] + sum over taps of source[n, c', o's position of the tap] * filter[tap]
// A block has a tile of results: some channels, a band of rows (one row is one depth and height),
// a piece of each row. It keeps the filters of its channels in shared memory and reads the source
// through the first cache: tiles are large enough that the rows which two blocks read are few.
// Lanes run along the width, or in channels_last along channels, N of them a thread.
#include "conv_depthwise_gather.h"

#include <algorithm>

#include "../problem/text.h"
#include "arch/math.h"
#include "conv_depthwise_axis.h"
#include "conv_depthwise_result.h"
#include "conv_depthwise_strides.h"
#include "element.h"
#include "grid.h"
#include "index.h"
#include "launch.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kFilterBytes = 48 * 1024;

template <class Index>
struct GatherCall {
  DepthwiseAxis<Index> axis[3];
  DenseStrides<Index> source, result;
  int64_t filter_stride[4];  // k, d, h, w
  Index channels, rows, taps;
  Index parts;  // source channels that a result sums over
  Divisor<Index> multiplier, height, kernel_h, kernel_w;
  Divisor<Index> tile_channels, tile_rows, tile_width;   // sizes of the tile
  Divisor<Index> channel_tiles, row_tiles, width_tiles;  // how many of them
  Divisor<Index> staged_filters;                         // of a block, or 0: too many
  bool adjoint, relu, channels_last;
};

// By tap in channels_last, where a thread's channels are to be neighbours; else by filter.
template <class T, class Index>
__device__ void stage_filters(const GatherCall<Index>& g, const T* filter, Index k0, Index filters,
                              Compute<T>* staged) {
  const Index pitch = g.staged_filters.d;
  for (Index i = threadIdx.x; i < pitch * g.taps; i += kThreads) {
    Index k = i;
    Index w = split(k, g.staged_filters);
    if (k >= filters) continue;
    const int64_t to = g.channels_last ? i : k * g.taps + w;
    Index h = split(w, g.kernel_w);
    const Index d = split(h, g.kernel_h);
    staged[to] = widen(filter[(k0 + k) * g.filter_stride[0] + d * g.filter_stride[1] +
                              h * g.filter_stride[2] + w * g.filter_stride[3]]);
  }
}

template <class T, class Index, int N>
__global__ void __launch_bounds__(kThreads, 2)
    depthwise_gather_kernel(GatherCall<Index> g, const T* source, const T* filter, const T* bias,
                            T* result) {
  using A = Compute<T>;
  CK_SMEM(raw);
  A* const staged = reinterpret_cast<A*>(raw);

  Index image = blockIdx.x;
  const Index w_tile = image - g.width_tiles.divide(image) * g.width_tiles.d;
  image = g.width_tiles.divide(image);
  const Index row_tile = image - g.row_tiles.divide(image) * g.row_tiles.d;
  image = g.row_tiles.divide(image);
  const Index c0 = (image - g.channel_tiles.divide(image) * g.channel_tiles.d) * g.tile_channels.d;
  image = g.channel_tiles.divide(image);

  const Index filters_each = g.adjoint ? g.parts : 1;
  const Index tile_channels = min(g.tile_channels.d, g.channels - c0);
  if (g.staged_filters.d) {
    stage_filters(g, filter, c0 * filters_each, tile_channels * filters_each, staged);
    __syncthreads();
  }

  const Index items = g.tile_channels.d / N * g.tile_rows.d * g.tile_width.d;
  for (Index item = threadIdx.x; item < items; item += kThreads) {
    Index c, row, w;
    if (g.channels_last) {
      Index pixel = item * N;
      c = pixel;
      pixel = split(c, g.tile_channels);
      w = pixel;
      row = split(w, g.tile_width);
    } else {
      w = item;
      row = split(w, g.tile_width);
      c = split(row, g.tile_rows);
    }
    Index h = row + row_tile * g.tile_rows.d;
    w += w_tile * g.tile_width.d;
    if (c >= tile_channels || h >= g.rows || w >= g.axis[2].results) continue;
    const Index d = split(h, g.height);

    const auto start_d = g.axis[0].start(d, g.adjoint);
    const auto start_h = g.axis[1].start(h, g.adjoint);
    const auto start_w = g.axis[2].start(w, g.adjoint);
    const Index first_source = g.adjoint ? (c0 + c) * g.parts : g.multiplier.divide(c0 + c);
    A total[N] = {};
    for (Index part = 0; part < g.parts; ++part) {
      const Index k = c * filters_each + part;
      const T* const plane = source + image * g.source.n + (first_source + part) * g.source.c;
      Index td = start_d.tap;
      for (Index id = start_d.source; td < g.axis[0].taps;
           td += g.axis[0].every, id += g.axis[0].advance) {
        if (id < 0 || id >= g.axis[0].sources) continue;
        Index th = start_h.tap;
        for (Index ih = start_h.source; th < g.axis[1].taps;
             th += g.axis[1].every, ih += g.axis[1].advance) {
          if (ih < 0 || ih >= g.axis[1].sources) continue;
          const T* const line = plane + id * g.source.d + ih * g.source.h;
          const Index tap0 = (td * g.axis[1].taps + th) * g.axis[2].taps;
          const int64_t filter0 = (c0 * filters_each + k) * g.filter_stride[0] +
                                  td * g.filter_stride[1] + th * g.filter_stride[2];
          Index tw = start_w.tap, iw = start_w.source;
          while (tw < g.axis[2].taps) {
            A sum[N] = {};
            for (int term = 0; term < 128 && tw < g.axis[2].taps;
                 ++term, tw += g.axis[2].every, iw += g.axis[2].advance) {
              if (iw < 0 || iw >= g.axis[2].sources) continue;
              if constexpr (N > 1) {
                const auto values = load<N>(line + iw * g.source.w);
                const A* const taps = staged + (tap0 + tw) * g.staged_filters.d + k;
                Vector<A, int(16 / sizeof(A))> quarter;
#pragma unroll
                for (int i = 0; i < N; ++i) {
                  constexpr int kQuarter = int(16 / sizeof(A));
                  if (i % kQuarter == 0) quarter = load<kQuarter>(taps + i);
                  sum[i] = fma(widen(values.value[i]), quarter.value[i % kQuarter], sum[i]);
                }
              } else {
                const A tap = !g.staged_filters.d
                                  ? A(widen(filter[filter0 + tw * g.filter_stride[3]]))
                              : g.channels_last ? staged[(tap0 + tw) * g.staged_filters.d + k]
                                                : staged[k * g.taps + tap0 + tw];
                sum[0] = fma(A(widen(line[iw * g.source.w])), tap, sum[0]);
              }
            }
#pragma unroll
            for (int i = 0; i < N; ++i) total[i] += sum[i];
          }
        }
      }
    }

    Vector<T, N> values;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A offset = bias ? A(widen(bias[c0 + c + i])) : A(0);
      values.value[i] = depthwise_result<T>(total[i], offset, g.relu);
    }
    store(result + image * g.result.n + (c0 + c) * g.result.c + d * g.result.d + h * g.result.h +
              w * g.result.w,
          values);
  }
}

// Sizes of a block's tile.
struct Tile {
  int64_t channels, rows, width;
};

Tile choose_tile(const ConvProblem& g, int64_t channels, const Extent& size, int64_t lanes) {
  const int64_t rows = size[0] * size[1], element = size_of(g.dtype);
  // Rows that two blocks read cost most where the kernel is deep.
  const int64_t most = g.kernel[0] > 1 ? 32768 : 4096;
  Tile tile{};
  if (g.format == Format::channels_last) {
    const int64_t vectors = ceil_div(channels, lanes);
    const int64_t line = std::max<int64_t>(1, 128 / (lanes * element));
    tile.channels = ceil_div(vectors, ceil_div(vectors, line)) * lanes;
    const int64_t pixels = most / 2;
    tile.width = std::min(size[2], pixels);
    tile.rows = std::min(rows, std::max<int64_t>(1, pixels / tile.width));
  } else {
    tile.width = std::min(size[2], most);
    tile.rows = std::min(rows, std::max<int64_t>(1, most / tile.width));
    tile.channels = std::min(channels, std::max<int64_t>(1, most / (rows * size[2])));
  }
  tile.width = ceil_div(size[2], ceil_div(size[2], tile.width));
  tile.rows = ceil_div(rows, ceil_div(rows, tile.rows));
  return tile;
}

template <class T, class Index, int N>
void run(const ConvProblem& g, bool adjoint, const T* source, const WeightView& filter,
         const T* bias, T* result, Stream stream) {
  using A = Compute<T>;
  const int64_t multiplier = g.k / g.c, channels = adjoint ? g.c : g.k;
  const Extent& size = adjoint ? g.input : g.output;
  Tile tile = choose_tile(g, channels, size, N);

  GatherCall<Index> call{};
  for (size_t i = 0; i < 3; ++i) call.axis[i] = DepthwiseAxis<Index>(g, i, adjoint);
  call.source = DenseStrides<Index>(g.format, adjoint ? g.k : g.c, adjoint ? g.output : g.input);
  call.result = DenseStrides<Index>(g.format, channels, size);
  call.filter_stride[0] = filter.stride[0];
  for (size_t i = 0; i < 3; ++i) call.filter_stride[i + 1] = filter.stride[i + 2];
  call.channels = static_cast<Index>(channels);
  call.rows = static_cast<Index>(size[0] * size[1]);
  call.taps = static_cast<Index>(volume(g.kernel));
  call.parts = static_cast<Index>(adjoint ? multiplier : 1);
  call.multiplier = Divisor<Index>(multiplier);
  call.height = Divisor<Index>(size[1]);
  call.kernel_h = Divisor<Index>(g.kernel[1]);
  call.kernel_w = Divisor<Index>(g.kernel[2]);
  call.adjoint = adjoint;
  call.relu = g.relu;
  call.channels_last = g.format == Format::channels_last;

  // Fewer channels rather than filters that do not fit.
  const int64_t channel_bytes = int64_t{call.parts} * volume(g.kernel) * int64_t{sizeof(A)};
  const int64_t fit = kFilterBytes / channel_bytes / N * N;
  if (fit) tile.channels = std::min(tile.channels, fit);
  const int64_t filters = fit ? tile.channels * call.parts : 0;
  if (fit)
    call.staged_filters = Divisor<Index>(filters);
  else
    call.staged_filters.d = 0;

  const int64_t channel_tiles = ceil_div(channels, tile.channels);
  const int64_t row_tiles = ceil_div(call.rows, tile.rows);
  const int64_t width_tiles = ceil_div(size[2], tile.width);
  call.tile_channels = Divisor<Index>(tile.channels);
  call.tile_rows = Divisor<Index>(tile.rows);
  call.tile_width = Divisor<Index>(tile.width);
  call.channel_tiles = Divisor<Index>(channel_tiles);
  call.row_tiles = Divisor<Index>(row_tiles);
  call.width_tiles = Divisor<Index>(width_tiles);
  const int64_t blocks =
      checked_grid(op_of(g).c_str(), g.n * channel_tiles * row_tiles * width_tiles);
  launch(depthwise_gather_kernel<T, Index, N>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
         static_cast<size_t>(filters * volume(g.kernel)) * sizeof(A), stream, call, source,
         static_cast<const T*>(filter.data), bias, result);
}

}  // namespace

void depthwise_gather(const ConvProblem& g, Direction direction, const void* source,
                      const WeightView& filter, const void* bias, void* result, Stream stream) {
  const bool adjoint = direction == Direction::input_grad;
  with_element(g.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kN = kLanes<T>;
    const T* const from = static_cast<const T*>(source);
    const T* const offsets = static_cast<const T*>(bias);
    T* const to = static_cast<T*>(result);
    if (!fits_int32(g)) {
      run<T, int64_t, 1>(g, adjoint, from, filter, offsets, to, stream);
      return;
    }
    const int64_t tap_bytes = volume(g.kernel) * int64_t{sizeof(Compute<T>)};
    const bool vectors = g.format == Format::channels_last && g.k == g.c && g.c % kN == 0 &&
                         is_aligned(source, 16) && is_aligned(result, 16) &&
                         tap_bytes * kN <= kFilterBytes;
    if (vectors) {
      run<T, int32_t, kN>(g, adjoint, from, filter, offsets, to, stream);
    } else {
      run<T, int32_t, 1>(g, adjoint, from, filter, offsets, to, stream);
    }
  });
}

}  // namespace cnnkern::cuda
