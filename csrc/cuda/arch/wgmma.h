// SPDX-License-Identifier: BSD-3-Clause
// Matrix products of a warpgroup, four warps, from shared memory: wgmma of sm_90a.
#pragma once
#include "barrier.h"

namespace cnnkern::cuda {

// A K-major tile of rows of 128 swizzled bytes, in groups of 8 rows 1024 bytes apart. A step of 16
// bf16 along K adds 32 bytes to the address.
__host__ __device__ inline uint64_t wgmma_descriptor(uint32_t address) {
  return uint64_t{address >> 4 & 0x3fff} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

#ifdef __CUDACC__
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int Pending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
__device__ inline void wgmma_m64n64k16_bf16(float (&d)[32], uint64_t a, uint64_t b) {
#define CK_FOUR(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
      "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, 1, 1, 1, 0, 0;"
      : CK_FOUR(0), CK_FOUR(4), CK_FOUR(8), CK_FOUR(12), CK_FOUR(16), CK_FOUR(20), CK_FOUR(24),
        CK_FOUR(28)
      : "l"(a), "l"(b));
#undef CK_FOUR
}

#endif

#else

inline void wgmma_fence() {}
inline void wgmma_commit() { simt::wgmma_commit(); }
template <int Pending>
void wgmma_wait() {
  simt::wgmma_wait(Pending);
}
inline void wgmma_m64n64k16_bf16(float (&d)[32], uint64_t a, uint64_t b,
                                 simt::Where where = simt::Where::current()) {
  simt::wgmma_bf16(d, 64, a, b, where);
}

#endif

}  // namespace cnnkern::cuda
