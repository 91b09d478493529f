// SPDX-License-Identifier: BSD-3-Clause
// A block's tile of a matrix product on tensor cores (sm_80 and up): steps of 64 bytes of the
// reduction (32 terms of 16-bit types, 16 of tf32) pass through a ring of stages of shared memory,
// filled by cp.async.
//
// A step of an operand lies there in one of two ways, in chunks of 16 bytes:
//   along   a row for each row (column) of the product, the step's terms side by side: 4 chunks
//   across  a row for each term, the rows (columns) of the product side by side
// Chunks change places within 128 bytes so that the eight chunks of a store, and the eight rows
// that ldmatrix reads at once, lie in different banks. The emulator counts: no conflicts.
#pragma once
#include <type_traits>

#include "arch/copy.h"
#include "arch/mma.h"
#include "arch/warp.h"
#include "element.h"

namespace cnnkern::cuda {

constexpr int kStepBytes = 64, kChunkBytes = 16, kStepChunks = kStepBytes / kChunkBytes;

// m x n sums by warps_m x warps_n warps.
template <int m, int n, int warps_m, int warps_n, int stages>
struct MmaTile {
  static constexpr int kM = m, kN = n, kStages = stages;
  static constexpr int kWarpsN = warps_n, kThreads = 32 * warps_m * warps_n;
  static constexpr int kWarpM = m / warps_m, kWarpN = n / warps_n;
  static constexpr int kTilesM = kWarpM / 16, kTilesN = kWarpN / 8;             // of one mma
  static constexpr int kOperandA = m * kStepBytes, kOperandB = n * kStepBytes;  // bytes of a step
  static constexpr int kStage = kOperandA + kOperandB;
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0);

  static __device__ int warp_m() { return int(threadIdx.x) / 32 / kWarpsN * kWarpM; }
  static __device__ int warp_n() { return int(threadIdx.x) / 32 % kWarpsN * kWarpN; }
};

template <class T>
constexpr int kStepTerms = kStepBytes / int(sizeof(T));

enum class Lies { along, across };

// Where chunk `chunk` of row `row` lies in an operand whose rows have so many chunks.
__device__ inline int along_offset(int row, int chunk) {
  return row * kStepBytes + (chunk ^ (row >> 1 & 3)) * kChunkBytes;
}
template <class T>
__device__ inline int across_offset(int row, int chunk, int chunks) {
  // ldmatrix reads one chunk of 8 rows. Elements of 4 bytes are read one by one: two chunks of 4.
  const int other = sizeof(T) == 2 ? row & 7 : (row & 3) << 1;
  return (row * chunks + (chunk ^ other)) * kChunkBytes;
}

// Fragments of `Tiles` pieces of 16 rows of a (or 16 columns of b) from the operand's `first` on,
// for the k-th of a step's two products. The four registers of a piece are, of a: rows 0-7 and 8-15
// of the first half of the terms, then of the second; of b: both halves of columns 0-7, then of
// 8-15 (arch/mma.h).
enum class Operand { a, b };

template <class T, Operand operand, Lies lies, int kRows, int kPieces>
struct Fragments {
  uint32_t r[kPieces][4];

  __device__ void load(const unsigned char* from, int first, int k) {
    const int lane = int(threadIdx.x) % 32;
    // The halves, of the product's side and of the terms, that the lane's row of ldmatrix is of.
    const int low = lane / 8 % 2, high = lane / 16;
    const int side = operand == Operand::a ? low : high, half = operand == Operand::a ? high : low;
    if constexpr (lies == Lies::along) {
      const int at = along_offset(first + side * 8 + lane % 8, 2 * k + half);
#pragma unroll
      for (int i = 0; i < kPieces; ++i) ldmatrix_x4(r[i], from + at + i * 16 * kStepBytes);
    } else if constexpr (sizeof(T) == 2) {
      constexpr int kChunks = kRows * int(sizeof(T)) / kChunkBytes;
      const int at = across_offset<T>(k * 16 + half * 8 + lane % 8, first / 8 + side, kChunks);
      // Two chunks further: the exchange leaves the bits above those of a chunk's own number alone.
#pragma unroll
      for (int i = 0; i < kPieces; ++i) ldmatrix_trans_x4(r[i], from + (at ^ i * 2 * kChunkBytes));
    } else {
      constexpr int kChunks = kRows * int(sizeof(T)) / kChunkBytes;
#pragma unroll
      for (int i = 0; i < kPieces; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int of_side = operand == Operand::a ? j % 2 : j / 2;
          const int of_half = operand == Operand::a ? j / 2 : j % 2;
          const int row = first + i * 16 + of_side * 8 + lane / 4;
          const int at = across_offset<T>(k * 8 + of_half * 4 + lane % 4, row / 4, kChunks);
          r[i][j] = *reinterpret_cast<const uint32_t*>(from + at + row % 4 * 4);
        }
    }
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) r[i][j] = to_tf32(__builtin_bit_cast(float, r[i][j]));
    }
  }
};

template <class T>
__device__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, __half>) {
    mma_f16(d, a, b);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    mma_bf16(d, a, b);
  } else {
    mma_tf32(d, a, b);
  }
}

template <class Tile>
struct MmaSums {
  float d[Tile::kTilesM][Tile::kTilesN][4];

  __device__ MmaSums() { clear(); }
  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < Tile::kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kTilesN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) d[i][j][e] = 0;
  }
  __device__ void add(const MmaSums& part) {
#pragma unroll
    for (int i = 0; i < Tile::kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kTilesN; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) d[i][j][e] += part.d[i][j][e];
  }
  // body(row, column, d[...] of that column and the next) for each pair of this thread, in the
  // tile's rows and columns.
  template <class Body>
  __device__ void for_each_pair(const Body& body) {
    const int lane = int(threadIdx.x) % 32;
    const int row = Tile::warp_m() + lane / 4, column = Tile::warp_n() + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < Tile::kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kTilesN; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          body(row + i * 16 + e * 8, column + j * 8, d[i][j][2 * e], d[i][j][2 * e + 1]);
  }
};

// Adds one step. each(i, a) sees the fragment of the warp's i-th 16 rows before it is used.
template <class T, class Tile, Lies lies_a, Lies lies_b, class Each>
__device__ void multiply_stage(const unsigned char* stage, MmaSums<Tile>& sums, const Each& each) {
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    Fragments<T, Operand::a, lies_a, Tile::kM, Tile::kTilesM> a;
    Fragments<T, Operand::b, lies_b, Tile::kN, Tile::kTilesN / 2> b;
    a.load(stage, Tile::warp_m(), k);
    b.load(stage + Tile::kOperandA, Tile::warp_n(), k);
#pragma unroll
    for (int i = 0; i < Tile::kTilesM; ++i) {
      each(i, a.r[i]);
#pragma unroll
      for (int j = 0; j < Tile::kTilesN; ++j) {
        const uint32_t column[2] = {b.r[j / 2][j % 2 * 2], b.r[j / 2][j % 2 * 2 + 1]};
        mma<T>(sums.d[i][j], a.r[i], column);
      }
    }
  }
}

// Sums `steps` steps. fetch(stage) starts the copies of the next step into a stage; it is called
// for each step in turn. after(step) runs when a step is summed. Ends with a barrier, no copy under
// way.
template <class T, class Tile, Lies lies_a, Lies lies_b, class Fetch, class Each, class After>
__device__ void multiply_stages(int steps, unsigned char* stages, MmaSums<Tile>& sums,
                                Fetch&& fetch, const Each& each, const After& after) {
#pragma unroll
  for (int s = 0; s < Tile::kStages - 1; ++s) {
    if (s < steps) fetch(stages + s * Tile::kStage);
    cp_async_commit();
  }
  int reading = 0, writing = Tile::kStages - 1;
  for (int step = 0; step < steps; ++step) {
    // The step's copies are there; and everybody is done with the stage that is written next.
    cp_async_wait<Tile::kStages - 2>();
    __syncthreads();
    if (step + Tile::kStages - 1 < steps) fetch(stages + writing * Tile::kStage);
    cp_async_commit();
    multiply_stage<T, Tile, lies_a, lies_b>(stages + reading * Tile::kStage, sums, each);
    after(step);
    if (++reading == Tile::kStages) reading = 0;
    if (++writing == Tile::kStages) writing = 0;
  }
  cp_async_wait_all();
  __syncthreads();
}

}  // namespace cnnkern::cuda
