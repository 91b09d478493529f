// SPDX-License-Identifier: BSD-3-Clause
// dw[k, tap] = sum over images and pixels p of dy[n, k, p] * x[n, k / multiplier, p's position of
// the tap], for any filter. A block has some channels, up to 32 taps and a split of the pixels,
// which it takes in units small enough for the first cache: over each it goes once for every 8 taps
// of a filter's row. Threads keep their totals in shared memory, which is added up at the end.
#include "conv_depthwise_weight_grad.h"

#include <algorithm>

#include "../problem/text.h"
#include "arch/math.h"
#include "conv_depthwise_splits.h"
#include "conv_depthwise_strides.h"
#include "conv_depthwise_totals.h"
#include "element.h"
#include "grid.h"
#include "index.h"
#include "launch.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

constexpr int kThreads = kWeightGradThreads;
constexpr int kChunk = 8;

template <class Index>
struct WeightGradCall {
  DenseStrides<Index> x, dy;
  Index input[3], stride[3], pad[3], dilation[3], kernel[3];
  Index output_rows, output_width, filters, taps;
  Divisor<Index> multiplier, height, kernel_h, kernel_w;
  Divisor<Index> unit_width, row_units, width_units;
  Divisor<Index> channel_blocks, tap_groups;
  Index unit_rows, units, splits;
  int channels, lanes;
  bool channels_last;
};

template <class T, class Index>
__global__ void __launch_bounds__(kThreads, 2)
    depthwise_weight_sums_kernel(WeightGradCall<Index> g, const T* dy, const T* x,
                                 Compute<T>* sums) {
  using A = Compute<T>;
  CK_SMEM(raw);
  A* const totals = reinterpret_cast<A*>(raw);
  const int thread = threadIdx.x;

  Index block = blockIdx.x;
  Index split_index = block;
  block = split_index - g.channel_blocks.divide(split_index) * g.channel_blocks.d;
  split_index = g.channel_blocks.divide(split_index);
  const Index group = split_index - g.tap_groups.divide(split_index) * g.tap_groups.d;
  split_index = g.tap_groups.divide(split_index);

  const Index tap0 = group * kWeightGradTaps;
  const Index tap_end = min(g.taps, tap0 + kWeightGradTaps);
  const int bias_row = int(tap_end - tap0);
  for (int i = 0; i <= bias_row; ++i) totals[i * kThreads + thread] = 0;

  const int channel = g.channels_last ? thread % g.channels : thread / g.lanes;
  const int lane = g.channels_last ? thread / g.channels : thread % g.lanes;
  const Index k0 = block * g.channels, k = k0 + channel;
  const Index first = Index(int64_t(g.units) * split_index / g.splits);
  const Index last = Index(int64_t(g.units) * (split_index + 1) / g.splits);
  for (Index unit = first; unit < last && k < g.filters; ++unit) {
    Index image = unit;
    const Index width_unit = image - g.width_units.divide(image) * g.width_units.d;
    image = g.width_units.divide(image);
    const Index row_unit = image - g.row_units.divide(image) * g.row_units.d;
    image = g.row_units.divide(image);
    const Index row0 = row_unit * g.unit_rows, w0 = width_unit * g.unit_width.d;
    const Index pixels = min(g.unit_rows, g.output_rows - row0) * g.unit_width.d;
    const T* const grads = dy + image * g.dy.n + k * g.dy.c;
    const T* const source = x + image * g.x.n + g.multiplier.divide(k) * g.x.c;

    for (Index tap = tap0; tap < tap_end;) {
      // Taps of one row of the filter.
      Index tw = tap;
      Index th = split(tw, g.kernel_w);
      const Index td = split(th, g.kernel_h);
      const int count = int(min(min(Index(kChunk), g.kernel[2] - tw), tap_end - tap));
      A acc[kChunk] = {}, grad_sum = 0;
      for (Index pixel = lane; pixel < pixels; pixel += g.lanes) {
        Index q = pixel;
        Index p = row0 + split(q, g.unit_width);
        q += w0;
        if (q >= g.output_width) continue;
        const Index od = split(p, g.height);
        const A grad = widen(grads[od * g.dy.d + p * g.dy.h + q * g.dy.w]);
        grad_sum += grad;
        const Index id = od * g.stride[0] - g.pad[0] + td * g.dilation[0];
        const Index ih = p * g.stride[1] - g.pad[1] + th * g.dilation[1];
        if (id < 0 || id >= g.input[0] || ih < 0 || ih >= g.input[1]) continue;
        const T* const line = source + id * g.x.d + ih * g.x.h;
        Index iw = q * g.stride[2] - g.pad[2] + tw * g.dilation[2];
#pragma unroll
        for (int i = 0; i < kChunk; ++i, iw += g.dilation[2]) {
          if (i < count && iw >= 0 && iw < g.input[2]) {
            acc[i] = fma(grad, A(widen(line[iw * g.x.w])), acc[i]);
          }
        }
      }
      A* const mine = totals + (tap - tap0) * kThreads + thread;
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        if (i < count) mine[i * kThreads] += acc[i];
      }
      if (tap == tap0) totals[bias_row * kThreads + thread] += grad_sum;
      tap += count;
    }
  }

  // Only the first group of taps has the sum of dy to give.
  const int rows = group ? bias_row : bias_row + 1;
  __syncthreads();
  add_totals<kThreads>(
      totals, rows, g.channels, g.lanes, g.channels_last, [&](int c, int row, A total) {
        if (k0 + c >= g.filters) return;
        const Index tap = row == bias_row ? g.taps : tap0 + row;
        sums[(int64_t(split_index) * g.filters + k0 + c) * (g.taps + 1) + tap] = total;
      });
}

template <class T, class Index>
void run(const ConvProblem& g, const T* dy, const T* x, void* workspace, Stream stream) {
  using A = Compute<T>;
  const WeightGradShares s = weight_grad_shares(g);
  WeightGradCall<Index> call{};
  call.x = DenseStrides<Index>(g.format, g.c, g.input);
  call.dy = DenseStrides<Index>(g.format, g.k, g.output);
  for (size_t i = 0; i < 3; ++i) {
    call.input[i] = static_cast<Index>(g.input[i]);
    call.stride[i] = static_cast<Index>(g.stride[i]);
    call.pad[i] = static_cast<Index>(g.pad_before[i]);
    call.dilation[i] = static_cast<Index>(g.dilation[i]);
    call.kernel[i] = static_cast<Index>(g.kernel[i]);
  }
  call.output_rows = static_cast<Index>(g.output[0] * g.output[1]);
  call.output_width = static_cast<Index>(g.output[2]);
  call.filters = static_cast<Index>(g.k);
  call.taps = static_cast<Index>(volume(g.kernel));
  call.multiplier = Divisor<Index>(g.k / g.c);
  call.height = Divisor<Index>(g.output[1]);
  call.kernel_h = Divisor<Index>(g.kernel[1]);
  call.kernel_w = Divisor<Index>(g.kernel[2]);
  call.unit_width = Divisor<Index>(s.width);
  call.row_units = Divisor<Index>(s.row_units);
  call.width_units = Divisor<Index>(s.width_units);
  const int64_t channel_blocks = ceil_div(g.k, s.channels);
  call.channel_blocks = Divisor<Index>(channel_blocks);
  call.tap_groups = Divisor<Index>(s.tap_groups);
  call.unit_rows = static_cast<Index>(s.rows);
  call.units = static_cast<Index>(s.units);
  call.splits = static_cast<Index>(s.splits);
  call.channels = static_cast<int>(s.channels);
  call.lanes = static_cast<int>(s.lanes);
  call.channels_last = g.format == Format::channels_last;
  const int64_t rows = std::min<int64_t>(kWeightGradTaps, volume(g.kernel)) + 1;
  const int64_t blocks = checked_grid(op_of(g).c_str(), channel_blocks * s.tap_groups * s.splits);
  launch(depthwise_weight_sums_kernel<T, Index>, dim3(static_cast<unsigned>(blocks)),
         dim3(kThreads), static_cast<size_t>(rows) * kThreads * sizeof(A), stream, call, dy, x,
         static_cast<A*>(workspace));
}

struct StoreCall {
  int64_t filters, taps, splits;
  int64_t kernel_h, kernel_w;
  int64_t stride[4];  // k, d, h, w
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    depthwise_weight_store_kernel(StoreCall g, const Compute<T>* sums, T* dw, T* db) {
  using A = Compute<T>;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t size = g.filters * (g.taps + 1);
  if (i >= size) return;
  A total = 0;
  for (int64_t split_index = 0; split_index < g.splits; ++split_index) {
    total += sums[split_index * size + i];
  }
  const int64_t k = i / (g.taps + 1), tap = i - k * (g.taps + 1);
  if (tap == g.taps) {
    if (db) db[k] = narrow<T>(total);
    return;
  }
  const int64_t row = tap / g.kernel_w, w = tap - row * g.kernel_w;
  const int64_t d = row / g.kernel_h, h = row - d * g.kernel_h;
  dw[k * g.stride[0] + d * g.stride[1] + h * g.stride[2] + w * g.stride[3]] = narrow<T>(total);
}

}  // namespace

void depthwise_weight_sums(const ConvProblem& g, const void* dy, const void* x, void* workspace,
                           Stream stream) {
  with_element(g.dtype, [&](auto element) {
    using T = decltype(element);
    with_index(fits_int32(g), [&](auto index) {
      run<T, decltype(index)>(g, static_cast<const T*>(dy), static_cast<const T*>(x), workspace,
                              stream);
    });
  });
}

void depthwise_weight_store(const ConvProblem& g, int64_t splits, const void* workspace,
                            const WeightView& dw, void* db, Stream stream) {
  with_element(g.dtype, [&](auto element) {
    using T = decltype(element);
    StoreCall call{g.k,         volume(g.kernel),
                   splits,      g.kernel[1],
                   g.kernel[2], {dw.stride[0], dw.stride[2], dw.stride[3], dw.stride[4]}};
    const int64_t blocks =
        checked_grid(op_of(g).c_str(), ceil_div(g.k * (volume(g.kernel) + 1), kThreads));
    launch(depthwise_weight_store_kernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
           stream, call, static_cast<const Compute<T>*>(workspace), static_cast<T*>(dw.data),
           static_cast<T*>(db));
  });
}

}  // namespace cnnkern::cuda
