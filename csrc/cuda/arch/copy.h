// SPDX-License-Identifier: BSD-3-Clause
// Asynchronous copies from global to shared memory, by threads: cp.async.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#ifndef __CUDACC__
#include "../../simt/instructions.h"
#endif

namespace cnnkern::cuda {

// How PTX addresses shared memory.
__device__ inline uint32_t shared_address(const void* p) {
#ifdef __CUDACC__
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
#else
  return static_cast<uint32_t>(static_cast<const unsigned char*>(p) - simt::dynamic_smem());
#endif
}

// Copies Bytes (4, 8 or 16), at addresses that are multiples of that; those past from_bytes become
// zero, and memory past them is not read. 16 bytes go past the first-level cache.
template <int Bytes>
__device__ inline void cp_async(void* to, const void* from, unsigned from_bytes = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#ifdef __CUDACC__
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(from_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)),
                 "l"(from), "n"(Bytes), "r"(from_bytes)
                 : "memory");
  }
#else
  simt::cp_async(to, from, Bytes, from_bytes);
#endif
}

// Ends this thread's group of copies.
__device__ inline void cp_async_commit() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::cp_async_commit();
#endif
}

// Until at most Pending of this thread's groups are under way. Others see them after a barrier.
template <int Pending>
__device__ inline void cp_async_wait() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#else
  simt::cp_async_wait(Pending);
#endif
}

// Until none of this thread's copies is under way, in a group or not.
__device__ inline void cp_async_wait_all() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_all;" ::: "memory");
#else
  simt::cp_async_wait_all();
#endif
}

}  // namespace cnnkern::cuda
