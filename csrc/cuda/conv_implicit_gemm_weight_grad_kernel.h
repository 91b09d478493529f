// SPDX-License-Identifier: BSD-3-Clause
// Weight gradient as an implicit matrix product on tensor cores. Both operands lie across: pixels
// are the terms, and dy's rows and x's columns, (tap, channel), are read as they are in memory.
// The gradient of the bias is one column more, of ones, which needs no memory.
#pragma once
#include "conv_direct_place.h"
#include "conv_implicit_gemm_weight_grad.h"
#include "grid.h"
#include "launch.h"
#include "mma_tile.h"

namespace cnnkern::cuda {

// The pair of ones that a register of an operand is: two of 16 bits, or one of tf32.
template <class T>
__device__ uint32_t ones() {
  if constexpr (sizeof(T) == 4) {
    return __builtin_bit_cast(uint32_t, 1.0f);
  } else {
    return __builtin_bit_cast(uint16_t, narrow<T>(1.0f)) * 0x10001u;
  }
}

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads)
    conv_implicit_weight_grad_kernel(const ImplicitWeightGradParameters p) {
  using Offset = uint32_t;
  CK_SMEM(raw);
  const int thread = int(threadIdx.x);
  constexpr int kDepth = kStepTerms<T>, kRun = kLanes<T>;

  int32_t rest = int32_t(blockIdx.x);
  const int32_t first_column = pop(rest, p.column_tiles) * Tile::kN;
  const int32_t first_row = pop(rest, p.row_tiles) * Tile::kM;
  const int32_t group = pop(rest, p.groups), split = rest;
  const int32_t begin = split * p.split_pixels;
  const int32_t end = begin + p.split_pixels < p.pixels ? begin + p.split_pixels : p.pixels;

  // dy: a chunk of rows of some pixels.
  constexpr int kChunksA = Tile::kM / kRun, kSpanA = Tile::kThreads / kChunksA;
  const int chunk_a = thread % kChunksA, pixel_a = thread / kChunksA;
  const bool given_a = first_row + chunk_a * kRun < p.rows;
  const T* const dy = static_cast<const T*>(p.dy);
  Offset from_a = Offset(begin + pixel_a) * Offset(p.dy_pixel) +
                  Offset(group * p.dy_group + first_row + chunk_a * kRun);
  int32_t left_a = end - begin - pixel_a;

  // x: a chunk of channels of one tap, of some pixels.
  constexpr int kChunksB = Tile::kN / kRun, kSpanB = Tile::kThreads / kChunksB;
  constexpr int kPixelsB = kDepth / kSpanB;
  const int chunk_b = thread % kChunksB, pixel_b = thread / kChunksB;
  const T* const x = static_cast<const T*>(p.x);
  Offset tap[3], source;
  {
    int32_t column = first_column + chunk_b * kRun;
    const bool given = column < p.columns;
    source = Offset(pop(column, p.channels)) + Offset(group) * Offset(p.x_group);
#pragma unroll
    for (int i = 2; i >= 0; --i) {
      tap[i] = Offset(pop(column, p.axis[i].taps)) * Offset(p.axis[i].step);
      source += tap[i] * Offset(p.x_axis[i]);
    }
    // Past the last column: so far away that no pixel's position lies inside.
    if (!given) tap[0] = Offset(1) << 31;
  }
  const int32_t size_d = p.axis[0].out, size_h = p.axis[1].out, size_w = p.axis[2].out;
  Place<int32_t> at[kPixelsB];
#pragma unroll
  for (int i = 0; i < kPixelsB; ++i)
    at[i] = Place<int32_t>(begin + pixel_b + i * kSpanB, size_d, size_h, size_w);
  const Place<int32_t> by(kDepth, size_d, size_h, size_w);
  int32_t left_b = end - begin - pixel_b;

  const auto fetch = [&](unsigned char* stage) {
#pragma unroll
    for (int i = 0; i < kDepth / kSpanA; ++i) {
      const bool given = given_a && left_a > i * kSpanA;
      const Offset from = given ? from_a + Offset(i * kSpanA) * Offset(p.dy_pixel) : 0;
      cp_async<kChunkBytes>(stage + across_offset<T>(pixel_a + i * kSpanA, chunk_a, kChunksA),
                            dy + from, given ? kChunkBytes : 0);
    }
    from_a += Offset(kDepth) * Offset(p.dy_pixel);
    left_a -= kDepth;
    stage += Tile::kOperandA;
#pragma unroll
    for (int i = 0; i < kPixelsB; ++i) {
      const Offset d = Offset(at[i].d * p.axis[0].stride + p.axis[0].base);
      const Offset h = Offset(at[i].h * p.axis[1].stride + p.axis[1].base);
      const Offset w = Offset(at[i].w * p.axis[2].stride + p.axis[2].base);
      const bool inside = left_b > i * kSpanB && d + tap[0] < Offset(p.axis[0].in) &&
                          h + tap[1] < Offset(p.axis[1].in) && w + tap[2] < Offset(p.axis[2].in);
      const Offset from = inside ? source + Offset(at[i].outer) * Offset(p.x_sample) +
                                       d * Offset(p.x_axis[0]) + h * Offset(p.x_axis[1]) +
                                       w * Offset(p.x_axis[2])
                                 : 0;
      cp_async<kChunkBytes>(stage + across_offset<T>(pixel_b + i * kSpanB, chunk_b, kChunksB),
                            x + from, inside ? kChunkBytes : 0);
      at[i].advance(by, size_d, size_h, size_w);
    }
    left_b -= kDepth;
  };

  const bool with_bias = p.with_bias && first_column == 0;
  const uint32_t one[2] = {ones<T>(), ones<T>()};
  float bias[Tile::kTilesM][4] = {};
  MmaSums<Tile> sums;
  multiply_stages<T, Tile, Lies::across, Lies::across>((end - begin + kDepth - 1) / kDepth, raw,
                                                       sums, fetch,
                                                       [&](int i, const uint32_t (&a)[4]) {
                                                         if (with_bias) mma<T>(bias[i], a, one);
                                                       },
                                                       [](int) {});

  const int64_t all_rows = int64_t(p.groups.d) * p.rows, matrix = all_rows * p.columns;
  const int64_t first = int64_t(group) * p.rows + first_row;
  const auto put = [&](float* to, float value) { *to = p.adds ? *to + value : value; };
  float* const to = p.sums + split * matrix + first * p.columns + first_column;
  const int rows = p.rows - first_row, columns = p.columns - first_column;
  // A thread's pair of columns: chunks are of an even number.
  sums.for_each_pair([&](int row, int column, float low, float high) {
    if (row >= rows || column >= columns) return;
    float* const pair = to + int64_t(row) * p.columns + column;
    if (p.adds) {
      const Vector<float, 2> before = load<2>(pair);
      low += before.value[0];
      high += before.value[1];
    }
    store<2>(pair, Vector<float, 2>{{low, high}});
  });
  // Each warp of a row of warps has the same sums, in each of its columns.
  if (!with_bias || Tile::warp_n() != 0 || thread % 4 != 0) return;
  float* const biases = p.sums + p.splits * matrix + split * all_rows + first;
#pragma unroll
  for (int i = 0; i < Tile::kTilesM; ++i)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int row = Tile::warp_m() + i * 16 + e * 8 + thread % 32 / 4;
      if (row < rows) put(biases + row, bias[i][2 * e]);
    }
}

// Thread i adds the splits of element i: of dw in the order of the matrix, then of db.
template <class T>
__global__ void __launch_bounds__(kWeightSumsThreads)
    conv_implicit_weight_sums_kernel(const ImplicitWeightSumsParameters p) {
  const int64_t i = int64_t(blockIdx.x) * kWeightSumsThreads + threadIdx.x;
  const bool is_bias = i >= p.matrix;
  if (i >= p.matrix + (p.db ? p.all_rows : 0)) return;
  const float* const first = p.sums + (is_bias ? p.splits * p.matrix + (i - p.matrix) : i);
  const int64_t pitch = is_bias ? p.all_rows : p.matrix;
  float total = 0;
  for (int32_t s = 0; s < p.splits; ++s) total += first[s * pitch];
  if (is_bias) {
    static_cast<T*>(p.db)[i - p.matrix] = narrow<T>(total);
    return;
  }
  const int64_t k = i / p.columns;
  int32_t tap = int32_t(i - k * p.columns);
  const int32_t channel = tap % p.padded;
  if (channel >= p.channels) return;
  tap /= p.padded;
  int64_t to = k * p.dw_k + channel * p.dw_channel;
#pragma unroll
  for (int a = 2; a >= 0; --a) to += pop(tap, p.taps[a]) * p.dw_axis[a];
  static_cast<T*>(p.dw)[to] = narrow<T>(total);
}

// Operands of 4 bytes are read one by one: as many addresses as a large tile of few warps has no
// registers for.
template <int bytes, MmaTileSize size>
struct WeightGradMmaTile;
template <int bytes>
struct WeightGradMmaTile<bytes, MmaTileSize::large> {
  using type = MmaTile<128, 128, bytes == 4 ? 4 : 2, 2, 4>;
};
template <int bytes>
struct WeightGradMmaTile<bytes, MmaTileSize::medium> {
  using type = MmaTile<128, 64, 2, 2, 4>;
};
template <int bytes>
struct WeightGradMmaTile<bytes, MmaTileSize::small> {
  using type = MmaTile<64, 64, 2, 2, 4>;
};

template <class T, MmaTileSize size>
void launch_implicit_weight_grad_size(const ImplicitWeightGradParameters& p, unsigned blocks,
                                      Stream stream) {
  using Tile = typename WeightGradMmaTile<int(sizeof(T)), size>::type;
  static_assert(Tile::kM == mma_rows(size) && Tile::kN == mma_columns(size));
  launch(conv_implicit_weight_grad_kernel<T, Tile>, dim3(blocks), dim3(Tile::kThreads),
         size_t(Tile::kStages * Tile::kStage), stream, p);
}

// Defined for one T in a file of its own, so that they compile side by side.
template <class T>
void launch_implicit_weight_grad(const ImplicitWeightGradParameters& p, MmaTileSize size,
                                 unsigned blocks, Stream stream) {
  if (size == MmaTileSize::large)
    return launch_implicit_weight_grad_size<T, MmaTileSize::large>(p, blocks, stream);
  if (size == MmaTileSize::medium)
    return launch_implicit_weight_grad_size<T, MmaTileSize::medium>(p, blocks, stream);
  launch_implicit_weight_grad_size<T, MmaTileSize::small>(p, blocks, stream);
}

template <class T>
void launch_implicit_weight_sums(const ImplicitWeightSumsParameters& p, Stream stream) {
  const int64_t elements = p.matrix + (p.db ? p.all_rows : 0);
  launch(conv_implicit_weight_sums_kernel<T>,
         dim3(unsigned(ceil_div(elements, kWeightSumsThreads))), dim3(kWeightSumsThreads), 0,
         stream, p);
}

}  // namespace cnnkern::cuda
