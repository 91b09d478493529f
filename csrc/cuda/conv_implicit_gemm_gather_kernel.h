// SPDX-License-Identifier: BSD-3-Clause
// Forward and input gradient as an implicit matrix product on tensor cores: the matrix of windows
// is never written; its rows are gathered from x by cp.async, zeros where a tap is outside.
//   rows: pixels of all samples in one phase (n, d, h, w); columns: output channels of a group
//   reduction: where a step has one tap, blocks of a step's channels, then taps, then channels;
//   else taps, then channels. Its order depends on nothing else: not on the batch, not on the tile.
#pragma once
#include <limits>
#include <type_traits>

#include "conv_implicit_gemm_gather.h"
#include "grid.h"
#include "launch.h"
#include "mma_tile.h"

namespace cnnkern::cuda {

using Offset = uint32_t;  // of elements; wraps around for taps in the padding, and is not used then

// Where a thread's copies stand in the reduction.
template <class T, ImplicitLoads loads>
struct GatherPlace {
  static constexpr bool kSteps =
      loads == ImplicitLoads::steps || loads == ImplicitLoads::steps_across;
  static constexpr int kCopyBytes = loads == ImplicitLoads::half_chunks ? 8 : 16;
  static constexpr int kCopy = kCopyBytes / int(sizeof(T));  // elements
  static constexpr int kCopies = kStepBytes / kCopyBytes;    // of a row's step

  int32_t taps[3], tap[3], channel, channels;
  Offset x, w;  // of the tap and channel
  // On by one tap, back to the first of the inner ones; and by one block of channels.
  Offset x_move[3], w_move[3], x_block, w_block;

  // `copy`: the thread's, of a row's step. Steps that hold several taps are begun at the first one.
  __device__ GatherPlace(const ImplicitGatherParameters& p,
                         const ImplicitGatherParameters::Axis (&axis)[3], int copy, int32_t step)
      : channel(0), channels(p.channels), x(0), w(0) {
    Offset x_inner = 0, w_inner = 0;
#pragma unroll
    for (int i = 2; i >= 0; --i) {
      taps[i] = axis[i].taps;
      tap[i] = 0;
      const Offset x_step = Offset(axis[i].step) * Offset(p.x_axis[i]);
      const Offset w_step = Offset(axis[i].w_step);
      if (kSteps && step > 0) {  // the inner axes' digits of the step's number
        tap[i] = step % taps[i];
        step /= taps[i];
        x += Offset(tap[i]) * x_step;
        w += Offset(tap[i]) * w_step;
      }
      x_move[i] = x_step - x_inner;
      w_move[i] = w_step - w_inner;
      x_inner += Offset(taps[i] - 1) * x_step;
      w_inner += Offset(taps[i] - 1) * w_step;
      w += Offset(axis[i].w_first);
    }
    w_block = Offset(kStepTerms<T>) * Offset(p.w_channel) - w_inner;
    x_block = Offset(kStepTerms<T>) - x_inner;
    if constexpr (kSteps) {
      x += Offset(step * kStepTerms<T> + copy * kCopy);
      w += Offset(step * kStepTerms<T>) * Offset(p.w_channel);
      if (loads == ImplicitLoads::steps) w += Offset(copy * kCopy);
    } else {
      skip(copy);
    }
  }

  __device__ bool done() const { return tap[0] >= taps[0]; }

  __device__ void next_tap() {
    ++tap[2];
    if (tap[2] < taps[2]) {
      x += x_move[2];
      w += w_move[2];
      return;
    }
    tap[2] = 0;
    ++tap[1];
    if (tap[1] < taps[1]) {
      x += x_move[1];
      w += w_move[1];
      return;
    }
    tap[1] = 0;
    ++tap[0];
    x += x_move[0];
    w += w_move[0];
  }

  // To the next step.
  __device__ void advance() {
    if constexpr (!kSteps) {
      skip(kCopies);
    } else {
      next_tap();
      if (!done()) return;
      // The moves of the last tap led to one past the outermost axis.
      tap[0] = 0;
      x += x_block - x_move[0];
      w += w_block - w_move[0];
    }
  }

 private:
  __device__ void skip(int copies) {
    channel += copies * kCopy;
    x += Offset(copies * kCopy);
    w += Offset(copies * kCopy);
    while (channel >= channels && !done()) {
      channel -= channels;
      x -= Offset(channels);
      w -= Offset(channels);
      next_tap();
    }
  }
};

// A pixel: the source offset of its first tap, and for each axis a bit for each tap that is inside.
struct GatherRow {
  Offset x;
  uint32_t inside[3];

  __device__ bool sees(const int32_t (&tap)[3]) const {
    return (inside[0] >> tap[0] & inside[1] >> tap[1] & inside[2] >> tap[2] & 1) != 0;
  }
};

// Of pixel `at` of a sample. One that does not exist sees no tap.
__device__ inline GatherRow gather_row(const ImplicitGatherParameters& p,
                                       const ImplicitGatherParameters::Axis (&axis)[3],
                                       int32_t group, int32_t sample, const int32_t (&at)[3],
                                       bool exists) {
  GatherRow row;
  row.x = Offset(group * p.x_group) + Offset(sample) * Offset(p.x_sample);
#pragma unroll
  for (int a = 2; a >= 0; --a) {
    const int32_t begin = at[a] * axis[a].stride + axis[a].base;
    row.x += Offset(begin) * Offset(p.x_axis[a]);
    row.inside[a] = 0;
    for (int t = 0; t < axis[a].taps; ++t) {
      const bool inside = exists && Offset(begin + t * axis[a].step) < Offset(axis[a].in);
      row.inside[a] |= uint32_t(inside) << t;
    }
  }
  return row;
}

// The rows of a tile that a thread copies, one copy of each in a step: those kSpan apart.
template <class T, class Tile, ImplicitLoads loads>
struct GatherRows {
  static constexpr int kCopies = GatherPlace<T, loads>::kCopies;
  static constexpr int kSpan = Tile::kThreads / kCopies, kRows = Tile::kM / kSpan;
  GatherRow row[kRows];

  static __device__ int copy() { return int(threadIdx.x) % kCopies; }
  static __device__ int first() { return int(threadIdx.x) / kCopies; }
};

template <class T, class Tile>
struct GatherStaging {  // of results on their way to y
  static constexpr int kPitch = Tile::kN + kChunkBytes / int(sizeof(T));
  static constexpr int kBytes = Tile::kM * kPitch * int(sizeof(T));
};
template <class T, class Tile>
constexpr int kGatherBuffers =
    GatherStaging<T, Tile>::kBytes > Tile::kStages* Tile::kStage ? GatherStaging<T, Tile>::kBytes
                                                                 : Tile::kStages* Tile::kStage;

// move(run, staged, at) for each run of elements that a thread moves between shared memory and y's
// place: along channels where these lie side by side, else along pixels. run: how many, a constant.
template <class T, class Tile, class Move>
__device__ void each_staged(const ImplicitGatherParameters& p, const int32_t* destination,
                            int columns, const Move& move) {
  constexpr int kPitch = GatherStaging<T, Tile>::kPitch, kRun = kLanes<T>;
  if (p.vectors) {
    for (int i = int(threadIdx.x); i < Tile::kM * (Tile::kN / kRun); i += Tile::kThreads) {
      const int row = i / (Tile::kN / kRun), column = i % (Tile::kN / kRun) * kRun;
      if (destination[row] < 0 || column >= columns) continue;
      move(std::integral_constant<int, kRun>(), row * kPitch + column, destination[row] + column);
    }
    return;
  }
  const bool along_channels = p.y_channel == 1;
  for (int i = int(threadIdx.x); i < Tile::kM * Tile::kN; i += Tile::kThreads) {
    const int row = along_channels ? i / Tile::kN : i % Tile::kM;
    const int column = along_channels ? i % Tile::kN : i / Tile::kM;
    if (destination[row] < 0 || column >= columns) continue;
    move(std::integral_constant<int, 1>(), row * kPitch + column,
         destination[row] + column * p.y_channel);
  }
}

// A pair of sums of neighbouring columns as results.
template <class T>
__device__ Vector<T, 2> result_pair(const ImplicitGatherParameters& p, const T* bias, int column,
                                    int columns, float low, float high) {
  if (bias) {
    low += column < columns ? widen(bias[column]) : 0;
    high += column + 1 < columns ? widen(bias[column + 1]) : 0;
  }
  if (p.relu) {
    low = low <= 0 ? 0 : low;  // NaN stays
    high = high <= 0 ? 0 : high;
  }
  return {{narrow<T>(low), narrow<T>(high)}};
}

template <class T>
__device__ int32_t gathered_steps(const ImplicitGatherParameters& p,
                                  const ImplicitGatherParameters::Axis (&axis)[3]) {
  const int32_t taps = axis[0].taps * axis[1].taps * axis[2].taps;
  return (taps * p.channels + kStepTerms<T> - 1) / kStepTerms<T>;
}

// The products of a tile's rows with the filters from first_column on, of so many steps. parts:
// these are several parts, each of which is summed by itself. Ends with a barrier.
template <class T, class Tile, ImplicitLoads loads, bool parts>
__device__ MmaSums<Tile> multiply_gathered(const ImplicitGatherParameters& p,
                                           const ImplicitGatherParameters::Axis (&axis)[3],
                                           int32_t group, int32_t first_column, int32_t first_step,
                                           int32_t steps, const GatherRows<T, Tile, loads>& rows,
                                           unsigned char* raw) {
  using Place = GatherPlace<T, loads>;
  using Rows = GatherRows<T, Tile, loads>;
  constexpr Lies kFilters = loads == ImplicitLoads::steps_across ? Lies::across : Lies::along;
  constexpr int kSpan = Rows::kSpan;
  const int thread = int(threadIdx.x), copy = Rows::copy(), row0 = Rows::first();
  const T* const x = static_cast<const T*>(p.x);
  const T* const w = static_cast<const T*>(p.w) + group * p.w_group +
                     (kFilters == Lies::along ? first_column * p.w_column : first_column);
  const int32_t columns = p.columns - first_column;
  Place place(p, axis, copy, first_step);
  const int to_x = along_offset(row0, copy * Place::kCopyBytes / kChunkBytes) +
                   copy * Place::kCopyBytes % kChunkBytes;

  const auto fetch = [&](unsigned char* stage) {
    const bool more = Place::kSteps || !place.done();
#pragma unroll
    for (int i = 0; i < Rows::kRows; ++i) {
      const bool sees = more && rows.row[i].sees(place.tap);
      const Offset from = sees ? rows.row[i].x + place.x : 0;
      cp_async<Place::kCopyBytes>(stage + to_x + i * kSpan * kStepBytes, x + from,
                                  sees ? Place::kCopyBytes : 0);
    }
    stage += Tile::kOperandA;
    if constexpr (kFilters == Lies::along) {
#pragma unroll
      for (int i = 0; i < Tile::kN / kSpan; ++i) {
        const int column = row0 + i * kSpan;
        const bool given = more && column < columns;
        const Offset from = given ? Offset(column * p.w_column) + place.w : 0;
        cp_async<Place::kCopyBytes>(stage + to_x + i * kSpan * kStepBytes, w + from,
                                    given ? Place::kCopyBytes : 0);
      }
    } else {
      constexpr int kChunks = Tile::kN * int(sizeof(T)) / kChunkBytes;
      constexpr int kTermSpan = Tile::kThreads / kChunks;
      const int chunk = thread % kChunks, term0 = thread / kChunks;
      const bool given = chunk * kLanes<T> < columns;
#pragma unroll
      for (int i = 0; i < kStepTerms<T> / kTermSpan; ++i) {
        const int term = term0 + i * kTermSpan;
        const Offset from =
            given ? place.w + Offset(term * p.w_channel) + Offset(chunk * kLanes<T>) : 0;
        cp_async<kChunkBytes>(stage + across_offset<T>(term, chunk, kChunks), w + from,
                              given ? kChunkBytes : 0);
      }
    }
    place.advance();
  };

  MmaSums<Tile> sums;
  const auto multiply = [&](MmaSums<Tile>& of, const auto& after) {
    multiply_stages<T, Tile, Lies::along, kFilters>(
        steps, raw, of, fetch, [](int, const uint32_t (&)[4]) {}, after);
  };
  if constexpr (parts) {
    MmaSums<Tile> part_sums;
    int32_t left = p.part_steps;
    multiply(part_sums, [&](int step) {
      if (--left == 0 || step + 1 == steps) {
        sums.add(part_sums);
        part_sums.clear();
        left = p.part_steps;
      }
    });
  } else {
    multiply(sums, [](int) {});
  }
  return sums;
}

template <class T, class Tile, ImplicitLoads loads, bool parts>
__global__ void __launch_bounds__(Tile::kThreads)
    conv_implicit_gather_kernel(const ImplicitGatherParameters p) {
  using Rows = GatherRows<T, Tile, loads>;
  CK_SMEM(raw);
  int32_t* const destination = reinterpret_cast<int32_t*>(raw + kGatherBuffers<T, Tile>);

  int32_t rest = int32_t(blockIdx.x);
  const int32_t first_column = pop(rest, p.column_tiles) * Tile::kN;
  const int32_t first_pixel = pop(rest, p.pixel_tiles) * Tile::kM;
  const int32_t group = pop(rest, p.groups), part = pop(rest, p.parts), phase = rest;
  const int32_t phase_w = pop(rest, p.width_phases), phase_h = pop(rest, p.height_phases);
  const ImplicitGatherParameters::Axis axis[3] = {p.axis[0][rest], p.axis[1][phase_h],
                                                  p.axis[2][phase_w]};
  const int32_t pixels = p.samples * axis[0].out.d * axis[1].out.d * axis[2].out.d;
  const int32_t first_step = part * p.part_steps;
  int32_t steps = gathered_steps<T>(p, axis) - first_step;
  if (p.sums && steps > p.part_steps) steps = p.part_steps;
  // Phases differ in size, and in their number of parts.
  if (first_pixel >= pixels || (part > 0 && steps <= 0)) return;  // the whole block

  Rows rows;
#pragma unroll
  for (int i = 0; i < Rows::kRows; ++i) {
    const int row = Rows::first() + i * Rows::kSpan;
    int32_t at[3], sample = first_pixel + row, to = 0;
    const bool exists = sample < pixels;
#pragma unroll
    for (int a = 2; a >= 0; --a) {
      at[a] = pop(sample, axis[a].out);
      to += (axis[a].first + at[a] * axis[a].spacing) * p.y_axis[a];
    }
    rows.row[i] = gather_row(p, axis, group, sample, at, exists);
    if (Rows::copy() == 0) destination[row] = exists ? to + sample * p.y_sample : -1;
  }

  const int32_t columns = p.columns - first_column;
  MmaSums<Tile> sums = multiply_gathered<T, Tile, loads, parts>(p, axis, group, first_column,
                                                                first_step, steps, rows, raw);

  if (p.sums) {
    const int32_t first_row = ((phase * p.parts.d + part) * p.groups.d + group) * p.phase_pixels.d;
    float* const to = p.sums + int64_t(first_row + first_pixel) * p.sum_columns.d + first_column;
    sums.for_each_pair([&](int row, int column, float low, float high) {
      if (row < pixels - first_pixel && column < columns)
        store<2>(to + row * p.sum_columns.d + column, Vector<float, 2>{{low, high}});
    });
    return;  // the whole block
  }
  T* const staged = reinterpret_cast<T*>(raw);
  const T* const bias =
      p.bias ? static_cast<const T*>(p.bias) + group * p.columns + first_column : nullptr;
  const int32_t first = (group * p.columns + first_column) * p.y_channel;
  if (p.residual) {
    const T* const residual = static_cast<const T*>(p.residual) + first;
    each_staged<T, Tile>(p, destination, columns, [&](auto run, int to, int32_t at) {
      store<run.value>(staged + to, load<run.value>(residual + at));
    });
    __syncthreads();
  }
  sums.for_each_pair([&](int row, int column, float low, float high) {
    T* const pair = staged + row * GatherStaging<T, Tile>::kPitch + column;
    if (p.residual && destination[row] >= 0) {
      low += column < columns ? widen(pair[0]) : 0;
      high += column + 1 < columns ? widen(pair[1]) : 0;
    }
    store<2>(pair, result_pair(p, bias, column, columns, low, high));
  });
  __syncthreads();
  T* const y = static_cast<T*>(p.y) + first;
  each_staged<T, Tile>(p, destination, columns, [&](auto run, int from, int32_t at) {
    store<run.value>(y + at, load<run.value>(staged + from));
  });
}

template <MmaTileSize size, bool parts>
struct GatherMmaTile;
// The sums of several parts need twice the registers: twice the warps.
template <bool parts>
struct GatherMmaTile<MmaTileSize::large, parts> {
  using type = MmaTile<128, 128, 2, parts ? 4 : 2, 4>;
};
template <bool parts>
struct GatherMmaTile<MmaTileSize::medium, parts> {
  using type = MmaTile<128, 64, 2, 2, 4>;
};
template <bool parts>
struct GatherMmaTile<MmaTileSize::small, parts> {
  using type = MmaTile<64, 64, 2, 2, 4>;
};

template <class T, MmaTileSize size, ImplicitLoads loads, bool parts>
void launch_implicit_gather_instance(const ImplicitGatherParameters& p, unsigned blocks,
                                     Stream stream) {
  using Tile = typename GatherMmaTile<size, parts>::type;
  static_assert(Tile::kM == mma_rows(size) && Tile::kN == mma_columns(size));
  constexpr size_t kBytes = kGatherBuffers<T, Tile> + Tile::kM * sizeof(int32_t);
  launch(conv_implicit_gather_kernel<T, Tile, loads, parts>, dim3(blocks), dim3(Tile::kThreads),
         kBytes, stream, p);
}

template <class T, MmaTileSize size, bool parts>
void launch_implicit_gather_steps(const ImplicitGatherParameters& p, ImplicitLoads loads,
                                  unsigned blocks, Stream stream) {
  constexpr ImplicitLoads kAlong = ImplicitLoads::steps, kAcross = ImplicitLoads::steps_across;
  if (loads == kAlong)
    return launch_implicit_gather_instance<T, size, kAlong, parts>(p, blocks, stream);
  launch_implicit_gather_instance<T, size, kAcross, parts>(p, blocks, stream);
}

template <class T, MmaTileSize size>
void launch_implicit_gather_size(const ImplicitGatherParameters& p, ImplicitLoads loads,
                                 unsigned blocks, Stream stream) {
  if (p.part_steps && !p.sums)
    return launch_implicit_gather_steps<T, size, true>(p, loads, blocks, stream);
  if (loads == ImplicitLoads::steps || loads == ImplicitLoads::steps_across)
    return launch_implicit_gather_steps<T, size, false>(p, loads, blocks, stream);
  // Few channels make small products: no large tile of them exists.
  if constexpr (size != MmaTileSize::large) {
    if (loads == ImplicitLoads::chunks)
      return launch_implicit_gather_instance<T, size, ImplicitLoads::chunks, false>(p, blocks,
                                                                                    stream);
    // Of 4 bytes an element, 4 channels are a whole chunk.
    if constexpr (sizeof(T) == 2)
      launch_implicit_gather_instance<T, size, ImplicitLoads::half_chunks, false>(p, blocks,
                                                                                  stream);
  }
}

// Defined for one T in a file of its own, so that they compile side by side.
template <class T>
void launch_implicit_gather(const ImplicitGatherParameters& p, MmaTileSize size,
                            ImplicitLoads loads, unsigned blocks, Stream stream) {
  if (size == MmaTileSize::large)
    return launch_implicit_gather_size<T, MmaTileSize::large>(p, loads, blocks, stream);
  if (size == MmaTileSize::medium)
    return launch_implicit_gather_size<T, MmaTileSize::medium>(p, loads, blocks, stream);
  launch_implicit_gather_size<T, MmaTileSize::small>(p, loads, blocks, stream);
}

}  // namespace cnnkern::cuda
