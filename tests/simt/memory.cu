// SPDX-License-Identifier: BSD-3-Clause
// Who may touch which byte of which memory, and how.
#include "kernels.h"

#include "../../csrc/cuda/launch.h"

namespace {

constexpr unsigned kThreads = 32;

template <int N>
[[gnu::noinline]] __device__ float deep(const float* x, int n) {
  volatile float frame[N];
  for (int i = 0; i < N; ++i) frame[i] = x[i % n];  // StackFull
  return frame[n % N] + (n > 1 ? deep<N>(x, n - 1) : 0);
}

// Copies x to y by 2-byte halves of which neighbouring blocks share words; counts in count[0] the
// elements above 0, in count[1] those of the block that sees most.
template <Bug B>
__global__ void memory_kernel(const float* x, float* y, unsigned* count, int n, int zero) {
  CK_SMEM(raw);
  unsigned* block_count = reinterpret_cast<unsigned*>(raw);
  uint8_t* bytes = raw + 16;
  const unsigned tid = threadIdx.x, block = blockIdx.x;
  const int i = int(block * kThreads + tid);

  if (tid == 0) *block_count = 0;
  __syncthreads();
  if (i < n && x[i] > 0) atomicAdd(block_count, 1u);
  if (B != Bug::kSharedAtomicRead) __syncthreads();
  const unsigned mine = *block_count;  // SharedAtomicRead
  if (tid == 0) {
    atomicAdd(&count[0], mine);
    atomicMax(&count[1], mine);
  }

  // A byte a thread, from and to neighbours.
  bytes[tid] = uint8_t(tid);
  if (B != Bug::kSharedBytes) __syncthreads();
  const unsigned other = bytes[tid ^ 1];  // SharedBytes

  // Halves: this block's begin in the middle of a word.
  const auto* from = reinterpret_cast<const uint16_t*>(x);
  auto* to = reinterpret_cast<uint16_t*>(y);
  const int first = int(block * kThreads + (other ^ 1)) * 2;
  for (int h = first - 1; h < first + 1; ++h)
    if (h >= 0 && h < 2 * n) to[h] = from[h];
  if (i == n - 1) to[2 * n - 1] = from[2 * n - 1];

  const bool leader = tid == 0;
  const uintptr_t nowhere = 0x10000 + uintptr_t(zero);
  if (B == Bug::kNoTensor && leader) y[0] = *(const float*)nowhere;               // NoTensor
  if (B == Bug::kNullPointer && leader) y[0] = *(const float*)(uintptr_t(zero));  // NullPointer
  if (B == Bug::kLostIncrement && leader) ++count[2];                             // LostIncrement
  if (B == Bug::kAtomicAndStore && leader) {
    if (block % 2)
      atomicAdd(&count[2], 1u);  // AtomicAndStore
    else
      count[2] = 1;
  }
  if (B == Bug::kAtomicAndLoad && leader) {
    if (block % 2)
      atomicAdd(&count[2], 1u);
    else
      y[block * 32] += float(count[2]);  // AtomicAndLoad
  }
  if (B == Bug::kAtomicOnInput && leader)
    atomicAdd(reinterpret_cast<unsigned*>(const_cast<float*>(x)), 0u);  // AtomicOnInput
  if (B == Bug::kMisalignedAtomic && leader)
    atomicAdd((unsigned*)(uintptr_t(count) + 2), 0u);                           // MisalignedAtomic
  if (B == Bug::kSameHalf && leader) to[1] = uint16_t(block);                   // SameHalf
  if (B == Bug::kSameByte && leader) reinterpret_cast<uint8_t*>(count)[9] = 1;  // SameByte
  if (B == Bug::kSameWord && leader) count[2] = block;                          // SameWord
  if (B == Bug::kReadsOther && leader) y[0] = y[0] + y[n - 1];                  // ReadsOther
  if (B == Bug::kHalfOfWord && leader) {
    if (block % 2)
      count[2] = 1;  // HalfOfWord
    else
      reinterpret_cast<uint16_t*>(count)[5] = 1;
  }
  if (B == Bug::kMisalignedVector && leader) {
    const float4 v = *reinterpret_cast<const float4*>(x + 2 + zero);  // MisalignedVector
    y[32 * block] = v.x;
  }
  if (B == Bug::kStackFull && leader) y[32 * block] = deep<512>(x, n);
  if (B == Bug::kLocalIndex && leader) {
    float local[4] = {x[0], x[1], x[2], x[3]};
    for (int k = 0; k < 4; ++k) local[k + zero] *= 2;
    y[32 * block] = local[n];  // LocalIndex
  }
  if (B == Bug::kIntOverflow && leader) y[(n << 16) * (n << 4) / n] = 0;  // IntOverflow
  if (B == Bug::kDivisionByZero && leader) y[n / zero] = 0;               // DivisionByZero
  if (B == Bug::kShift && leader) y[1 << n] = 0;                          // Shift
}

}  // namespace

void memory(const float* x, float* y, unsigned* count, int n, Bug bug) {
  with_bug<Bug::kNone, Bug::kNoTensor, Bug::kNullPointer, Bug::kLostIncrement, Bug::kAtomicAndStore,
           Bug::kAtomicAndLoad, Bug::kAtomicOnInput, Bug::kSharedAtomicRead, Bug::kMisalignedAtomic,
           Bug::kSameHalf, Bug::kSameByte, Bug::kHalfOfWord, Bug::kSameWord, Bug::kReadsOther,
           Bug::kSharedBytes, Bug::kMisalignedVector, Bug::kStackFull, Bug::kLocalIndex,
           Bug::kIntOverflow, Bug::kDivisionByZero, Bug::kShift>(bug, [&](auto b) {
    cnnkern::cuda::launch(memory_kernel<b.value>, dim3((unsigned(n) + kThreads - 1) / kThreads),
                          dim3(kThreads), 16 + kThreads, nullptr, x, y, count, n, 0);
  });
}
