// SPDX-License-Identifier: BSD-3-Clause
// A block's tile of a matrix product on CUDA cores: sums[m][n] += a[m] * b[n] over a reduction that
// passes through shared memory in steps of kDepth terms, twice buffered, so that a step costs one
// barrier and the next step's elements are under way while this one is multiplied.
#pragma once
#include "arch/math.h"
#include "element.h"
#include "index.h"
#include "launch.h"

namespace cnnkern::cuda {

// kThreads threads own kM x kN sums, kThreadM x kThreadN each. kBlocks fit a multiprocessor.
template <int threads, int blocks, int m, int n, int thread_m, int thread_n, int depth>
struct Tile {
  static constexpr int kThreads = threads, kBlocks = blocks, kM = m, kN = n, kDepth = depth;
  static constexpr int kThreadM = thread_m, kThreadN = thread_n;
  static constexpr int kAcross = m / thread_m;  // threads along m
  // Rows of shared memory are padded, so that threads that hold neighbouring terms of one row of
  // the product write to different banks.
  static constexpr int kPitchA = m + 4, kPitchB = n + 4;
  static constexpr int kStep = depth * (kPitchA + kPitchB);  // elements of one buffer
  // A row of kM (kN) elements is read in runs of 4: thread t owns runs t, t + kAcross, ...
  static constexpr int kRun = 4;
  static_assert(thread_m % kRun == 0 && kAcross * (n / thread_n) == threads);

  // The place along m (n) of a thread's i-th sum.
  static __device__ int row(int i) {
    return i / kRun * (kAcross * kRun) + int(threadIdx.x) % kAcross * kRun + i % kRun;
  }
  static __device__ int column(int j) { return int(threadIdx.x) / kAcross * kThreadN + j; }
};

// Sums of more than this many terms are sums of such sums: the rounding error grows with their
// number plus this one, not with the product.
constexpr int kTermsOfSum = 64;

template <class A, class Tile>
struct TileSums {
  A part[Tile::kThreadM][Tile::kThreadN], total[Tile::kThreadM][Tile::kThreadN];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < Tile::kThreadM; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kThreadN; ++j) part[i][j] = total[i][j] = 0;
  }

  __device__ void flush() {
#pragma unroll
    for (int i = 0; i < Tile::kThreadM; ++i)
#pragma unroll
      for (int j = 0; j < Tile::kThreadN; ++j) {
        total[i][j] += part[i][j];
        part[i][j] = 0;
      }
  }

  __device__ void multiply(const A* step) {
#pragma unroll
    for (int k = 0; k < Tile::kDepth; ++k) {
      A a[Tile::kThreadM], b[Tile::kThreadN];
      const A* const row = step + k * Tile::kPitchA;
#pragma unroll
      for (int i = 0; i < Tile::kThreadM; i += Tile::kRun)
        read<Tile::kRun>(row + Tile::row(i), a + i);
      read<Tile::kThreadN>(
          step + Tile::kDepth * Tile::kPitchA + k * Tile::kPitchB + Tile::column(0), b);
#pragma unroll
      for (int i = 0; i < Tile::kThreadM; ++i)
#pragma unroll
        for (int j = 0; j < Tile::kThreadN; ++j) part[i][j] = fma(a[i], b[j], part[i][j]);
    }
  }

 private:
  template <int N>
  static __device__ void read(const A* from, A* to) {
    constexpr int kLoad = N < kLanes<A> ? N : kLanes<A>;
#pragma unroll
    for (int i = 0; i < N; i += kLoad) {
      const Vector<A, kLoad> v = load<kLoad>(from + i);
#pragma unroll
      for (int l = 0; l < kLoad; ++l) to[i + l] = v.value[l];
    }
  }
};

// Sums `steps` steps. fetch() loads the next step's elements from global memory into registers,
// put(a, b) stores them into a buffer's rows. Ends with a barrier.
template <class Tile, class A, class Index, class Fetch, class Put>
__device__ void multiply_steps(Index steps, A* buffers, TileSums<A, Tile>& sums, Fetch&& fetch,
                               Put&& put) {
  constexpr int kFlush = kTermsOfSum / Tile::kDepth;
  sums.clear();
  if (steps > 0) {
    fetch();
    put(buffers, buffers + Tile::kDepth * Tile::kPitchA);
  }
  __syncthreads();
  int unflushed = 0;
  for (Index step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more) fetch();
    sums.multiply(buffers + (step & 1) * Tile::kStep);
    if (more) {
      A* const next = buffers + (~step & 1) * Tile::kStep;
      put(next, next + Tile::kDepth * Tile::kPitchA);
    }
    if (++unflushed == kFlush) {
      sums.flush();
      unflushed = 0;
    }
    __syncthreads();
  }
  sums.flush();
}

}  // namespace cnnkern::cuda
