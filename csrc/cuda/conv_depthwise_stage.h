// SPDX-License-Identifier: BSD-3-Clause
// A box of an activation (channels, rows, columns) goes to shared memory as it lies in global
// memory, in segments of consecutive elements, 16 bytes at once wherever a segment has 16 aligned
// bytes.
#pragma once
#include "conv_depthwise_tiles.h"
#include "element.h"
#include "index.h"
#include "launch.h"

namespace cnnkern::cuda {

// With what the kernel divides by.
struct Staging : StagedTensor {
  Divisor<int32_t> divide_columns, divide_accesses;

  Staging() = default;
  explicit Staging(const StagedTensor& t)
      : StagedTensor(t), divide_columns(t.columns), divide_accesses(t.accesses) {}
};

struct Box {
  int c0, channels, row0, row1, column0, column1;
};

// How many elements of a segment precede the first aligned 16 bytes that hold its start.
template <class T>
__device__ int misaligned(const Staging& g, const T* segment) {
  return g.vectors ? int(reinterpret_cast<uintptr_t>(segment) / sizeof(T) % kLanes<T>) : 0;
}

template <int N, class T, class From, class To>
__device__ void copy_segments(const Staging& g, const Box& box, int shift, From from, To to) {
  const bool flat = g.segments == Segments::flat, pixels = g.segments == Segments::pixels;
  const int rows = flat ? 1 : box.row1 - box.row0;
  const int columns = pixels ? box.column1 - box.column0 : 1;
  const int length = flat     ? (box.channels - 1) * g.channel + (box.row1 - box.row0) * g.row
                     : pixels ? box.channels
                              : box.column1 - box.column0;
  for (int i = threadIdx.x; i < g.slots; i += int(blockDim.x)) {
    int access = i, row = 0, column = 0;
    if (!flat) {
      column = split(access, g.divide_accesses);
      row = split(column, g.divide_columns);
      if (row >= rows || column >= columns) continue;
    }
    const int first = access * N - shift;
    const auto source = from(row, column) + first;
    const auto target = to(row, column) + first;
    if (N > 1 && first >= 0 && first + N <= length) {
      // As one value: compilers take a Vector to pieces on its way.
      *reinterpret_cast<uint4*>(target) = *reinterpret_cast<const uint4*>(source);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        if (first + j >= 0 && first + j < length) target[j] = source[j];
      }
    }
  }
}

// Copies the box of an image (for flat: of all planes) to `to`, which is aligned to 16 bytes.
// Returns where the box's first element is.
template <class T>
__device__ T* stage(const Staging& g, const Box& box, const T* image, T* to) {
  const T* const start = image + box.c0 * g.channel + box.row0 * g.row + box.column0 * g.column;
  const int shift = misaligned(g, start);
  T* const local = to + shift;
  const auto from_at = [&](int row, int column) { return start + row * g.row + column * g.column; };
  const auto to_at = [&](int row, int column) {
    return local + row * g.local_row + column * g.local_column;
  };
  if (g.vectors) {
    copy_segments<kLanes<T>, T>(g, box, shift, from_at, to_at);
  } else {
    copy_segments<1, T>(g, box, shift, from_at, to_at);
  }
  return local;
}

// The way back, for flat boxes.
template <class T>
__device__ void unstage(const Staging& g, const Box& box, const T* local, int shift, T* start) {
  copy_segments<kLanes<T>, T>(
      g, box, shift, [&](int, int) { return local; }, [&](int, int) { return start; });
}

}  // namespace cnnkern::cuda
