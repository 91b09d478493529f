// SPDX-License-Identifier: BSD-3-Clause
// Barriers beyond __syncthreads(): named ones, mbarriers (the latter with their bytes, sm_90), and
// the fence between ordinary stores and the units that read shared memory by themselves.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "copy.h"

namespace cnnkern::cuda {

#ifdef __CUDACC__

// Barrier id, 1 to 15, of count threads, a multiple of 32.
__device__ inline void bar_sync(unsigned id, unsigned count) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory");
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ inline void mbarrier_init(uint64_t* bar, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(count)
               : "memory");
}
// Arrives, and adds bytes to what this phase waits for.
__device__ inline void mbarrier_expect_tx(uint64_t* bar, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(bar)),
               "r"(bytes)
               : "memory");
}
__device__ inline void mbarrier_arrive(uint64_t* bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(bar)) : "memory");
}
// Until the phase of this parity has ended; phases count from 0.
__device__ inline void mbarrier_wait(uint64_t* bar, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(bar)),
      "r"(parity)
      : "memory");
}
__device__ inline void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

#endif

#else

inline void bar_sync(unsigned id, unsigned count, simt::Where where = simt::Where::current()) {
  simt::barrier(id, count, where);
}
inline void mbarrier_init(uint64_t* bar, unsigned count) { simt::mbarrier_init(bar, count); }
inline void mbarrier_expect_tx(uint64_t* bar, unsigned bytes) {
  simt::mbarrier_expect_tx(bar, bytes);
}
inline void mbarrier_arrive(uint64_t* bar) { simt::mbarrier_arrive(bar); }
inline void mbarrier_wait(uint64_t* bar, unsigned parity,
                          simt::Where where = simt::Where::current()) {
  simt::mbarrier_wait(bar, parity, where);
}
inline void fence_proxy_async() { simt::fence_proxy_async(); }

#endif

}  // namespace cnnkern::cuda
