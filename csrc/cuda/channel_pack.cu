// SPDX-License-Identifier: BSD-3-Clause
// A block turns a square of pixels by channels over in shared memory, so that both sides are read
// and written along memory.
#include "channel_pack.h"

#include "element.h"
#include "grid.h"
#include "index.h"
#include "launch.h"

namespace cnnkern::cuda {
namespace {

constexpr int kThreads = 256, kSquare = 64;

struct ChannelParameters {
  const void* from;
  void* to;
  int64_t pixels, channels, all_channels, all_padded;
  int32_t groups;
  Divisor<int32_t> padded;
  // A block's number is sample, tile of pixels, tile of padded channels.
  Divisor<int64_t> channel_tiles, pixel_tiles;
  bool channels_last;
};

template <class T, int kRun>
__global__ void __launch_bounds__(kThreads) pack_channels_kernel(const ChannelParameters p) {
  // Rows of pixels: a whole number of runs long, and not of banks.
  constexpr int kPitch = kSquare + kLanes<T>;
  CK_SMEM(raw);
  T* const square = reinterpret_cast<T*>(raw);
  int64_t rest = int64_t(blockIdx.x);
  const int64_t first_channel = pop(rest, p.channel_tiles) * kSquare;
  const int64_t first_pixel = pop(rest, p.pixel_tiles) * kSquare, sample = rest;
  const T* const from = static_cast<const T*>(p.from) + sample * p.pixels * p.all_channels;
  const int pixels = int(p.pixels - first_pixel < kSquare ? p.pixels - first_pixel : kSquare);
  const int channels =
      int(p.all_padded - first_channel < kSquare ? p.all_padded - first_channel : kSquare);

  const auto value = [&](int pixel, int place) {
    int32_t channel = int32_t(first_channel) + place;
    const int32_t group = split(channel, p.padded);
    if (channel >= p.channels) return narrow<T>(0);
    const int64_t of = group * p.channels + channel, at = first_pixel + pixel;
    return from[p.channels_last ? at * p.all_channels + of : of * p.pixels + at];
  };
  for (int i = int(threadIdx.x); i < channels * kSquare; i += kThreads) {
    const int pixel = p.channels_last ? i / channels : i % kSquare;
    const int place = p.channels_last ? i % channels : i / kSquare;
    if (pixel < pixels) square[pixel * kPitch + place] = value(pixel, place);
  }
  __syncthreads();
  const int runs = channels / kRun;
  T* const to =
      static_cast<T*>(p.to) + (sample * p.pixels + first_pixel) * p.all_padded + first_channel;
  for (int i = int(threadIdx.x); i < pixels * runs; i += kThreads) {
    const int pixel = i / runs, place = i % runs * kRun;
    store<kRun>(to + pixel * p.all_padded + place, load<kRun>(square + pixel * kPitch + place));
  }
}

struct FilterParameters {
  const void* from;
  void* to;
  int64_t elements, group_stride, column_stride, channel_stride, tap_stride[3];
  int32_t channels;
  Divisor<int64_t> padded, taps[3], columns;
};

template <class T>
__global__ void __launch_bounds__(kThreads) pack_filters_kernel(const FilterParameters p) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.elements) return;
  int64_t rest = i;
  const int64_t channel = pop(rest, p.padded);
  int64_t at = channel * p.channel_stride;
  for (int axis = 2; axis >= 0; --axis) at += pop(rest, p.taps[axis]) * p.tap_stride[axis];
  at += pop(rest, p.columns) * p.column_stride;
  at += rest * p.group_stride;
  static_cast<T*>(p.to)[i] =
      channel < p.channels ? static_cast<const T*>(p.from)[at] : narrow<T>(0);
}

}  // namespace

void pack_channels(const ChannelPack& g, const void* from, void* to, Stream stream) {
  if (!g.elements()) return;
  ChannelParameters p{};
  p.from = from;
  p.to = to;
  p.pixels = g.pixels;
  p.channels = g.channels;
  p.all_channels = g.groups * g.channels;
  p.all_padded = g.groups * g.padded;
  p.groups = int32_t(g.groups);
  p.padded = Divisor<int32_t>(g.padded);
  p.channels_last = g.format == Format::channels_last;
  p.channel_tiles = Divisor<int64_t>(ceil_div(p.all_padded, kSquare));
  p.pixel_tiles = Divisor<int64_t>(ceil_div(p.pixels, kSquare));
  const dim3 grid(
      unsigned(checked_grid("pack_channels", g.samples * p.channel_tiles.d * p.pixel_tiles.d)));
  with_element(g.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr size_t kBytes = kSquare * (kSquare + kLanes<T>)*sizeof(T);
    constexpr int kHalf = kLanes<T> > 4 ? 4 : kLanes<T>;
    const auto kernel =
        g.padded % kLanes<T> ? pack_channels_kernel<T, kHalf> : pack_channels_kernel<T, kLanes<T>>;
    launch(kernel, grid, dim3(kThreads), kBytes, stream, p);
  });
}

void pack_filters(const FilterPack& g, const void* from, void* to, Stream stream) {
  if (!g.elements()) return;
  FilterParameters p{};
  p.from = from;
  p.to = to;
  p.elements = g.elements();
  p.group_stride = g.group_stride;
  p.column_stride = g.column_stride;
  p.channel_stride = g.channel_stride;
  p.channels = int32_t(g.channels);
  p.padded = Divisor<int64_t>(g.padded);
  p.columns = Divisor<int64_t>(g.columns);
  for (int i = 0; i < 3; ++i) {
    p.taps[i] = Divisor<int64_t>(g.taps[i]);
    p.tap_stride[i] = g.tap_stride[i];
  }
  const dim3 grid(unsigned(checked_grid("pack_filters", ceil_div(p.elements, kThreads))));
  with_element(g.dtype, [&](auto element) {
    launch(pack_filters_kernel<decltype(element)>, grid, dim3(kThreads), 0, stream, p);
  });
}

}  // namespace cnnkern::cuda
