// SPDX-License-Identifier: BSD-3-Clause
// What warps do together, and named barriers.
#include "kernels.h"

#include "../../csrc/cuda/arch/barrier.h"
#include "../../csrc/cuda/launch.h"

namespace {

using cnnkern::cuda::bar_sync;
constexpr unsigned kAll = ~0u;

// The sum of each row: a warp a row.
template <Bug B>
__global__ void row_sums_kernel(const float* x, float* y, int rows, int cols) {
  const int row = int(blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32);
  const int lane = int(threadIdx.x % 32);
  if (row >= rows) return;
  float v = 0;
  for (int c = lane; c < cols; c += 32) v += x[row * cols + c];
  for (int m = 16; m > 0; m /= 2) {
    if (B == Bug::kShuffleInBranch && lane == 7) continue;
    v += __shfl_xor_sync(kAll, v, m);  // ShuffleInBranch
  }
  if (B == Bug::kWritesTwice) y[row / 8] = v;  // WritesTwice
  if (B != Bug::kWritesTwice && lane == 0) y[row] = v;
}

// y[i] = x[i], by roads that need every kind of barrier; a block has 64 threads, each warp writes
// what the other one reads.
template <Bug B>
__global__ void warps_kernel(const float* x, float* y) {
  CK_SMEM(raw);
  float* s = reinterpret_cast<float*>(raw);
  const unsigned tid = threadIdx.x, lane = tid % 32, warp = tid / 32, i = blockIdx.x * 64 + tid;
  float v = x[i];

  // Across the warp through shared memory, and back by a shuffle.
  s[tid] = v;
  if (B != Bug::kMissingSyncwarp) __syncwarp();
  v = s[tid ^ 31];  // MissingSyncwarp
  v = __shfl_sync(kAll, v, int(lane ^ 31));

  if (B == Bug::kMaskWithoutSelf) v += float(__ballot_sync(0xffffu, v > 0)) * 0;  // MaskWithoutSelf
  if (B == Bug::kShuffleOfAbsentLane && lane < 8)
    v = __shfl_down_sync(0xffu, v, 4);                               // ShuffleOfAbsentLane
  if (B == Bug::kShuffleWidth) v = __shfl_xor_sync(kAll, v, 0, 12);  // ShuffleWidth
  if (B == Bug::kVoteAgainstShuffle) {
    if (lane < 16)
      v = __shfl_xor_sync(kAll, v, 0);
    else
      v += float(__any_sync(kAll, 0));  // VoteAgainstShuffle
  }
  if (B == Bug::kVoteInBranch && lane != 3) v += float(__any_sync(kAll, 0));  // VoteInBranch
  if (B == Bug::kManySyncwarps)
    for (int k = 0; k < 1100000 && tid == 0; ++k) __syncwarp(1);  // ManySyncwarps

  // Across the block by a named barrier, there and back.
  __syncthreads();
  s[tid] = v;
  if (B == Bug::kBarrierNumber) bar_sync(16, 64);  // BarrierNumber
  if (B == Bug::kBarrierCount) bar_sync(1, 48);    // BarrierCount
  if (B == Bug::kBarrierTooFew) bar_sync(1, 96);   // BarrierTooFew
  if (B == Bug::kBarrierOfOthers)
    bar_sync(1 + warp, 32);
  else
    bar_sync(1, 64);
  v = s[tid ^ 32];  // BarrierOfOthers
  bar_sync(2, 64);
  s[tid] = v;
  bar_sync(1, 64);
  y[i] = s[tid ^ 32];
}

// A block of 48 threads: the second warp has 16 lanes.
__global__ void part_of_warp_kernel(const float* x, float* y) {
  const unsigned tid = threadIdx.x;
  float v = x[tid];
  v += __shfl_xor_sync(kAll, v, 16);  // ShuffleInPartOfWarp
  y[tid] = v;
}

}  // namespace

void row_sums(const float* x, float* y, int rows, int cols, Bug bug) {
  with_bug<Bug::kNone, Bug::kShuffleInBranch, Bug::kWritesTwice>(bug, [&](auto b) {
    cnnkern::cuda::launch(row_sums_kernel<b.value>, dim3(unsigned(rows + 3) / 4), dim3(128), 0,
                          nullptr, x, y, rows, cols);
  });
}

void warps(const float* x, float* y, int n, Bug bug) {
  if (bug == Bug::kShuffleInPartOfWarp)
    return cnnkern::cuda::launch(part_of_warp_kernel, dim3(1), dim3(48), 0, nullptr, x, y);
  with_bug<Bug::kNone, Bug::kMaskWithoutSelf, Bug::kShuffleOfAbsentLane, Bug::kShuffleWidth,
           Bug::kVoteAgainstShuffle, Bug::kVoteInBranch, Bug::kMissingSyncwarp, Bug::kBarrierNumber,
           Bug::kBarrierCount, Bug::kBarrierTooFew, Bug::kBarrierOfOthers, Bug::kManySyncwarps>(
      bug, [&](auto b) {
        cnnkern::cuda::launch(warps_kernel<b.value>, dim3(unsigned(n) / 64), dim3(64),
                              64 * sizeof(float), nullptr, x, y);
      });
}
