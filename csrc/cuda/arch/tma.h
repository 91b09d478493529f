// SPDX-License-Identifier: BSD-3-Clause
// Copies of boxes of a tensor into shared memory by the copy engine of sm_90, with the 128-byte
// swizzle. An mbarrier counts their bytes.
#pragma once
#ifdef __CUDACC__
#include <cuda.h>
#endif

#include "barrier.h"

namespace cnnkern::cuda {

#ifdef __CUDACC__

using TensorMap = CUtensorMap;

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

// N H W C: pixels from (w, h, n) on, read at the filter's offset from them; channels from c on.
__device__ inline void tma_im2col(void* to, const TensorMap& map, int c, int w, int h, int n,
                                  unsigned w_offset, unsigned h_offset, uint64_t* bar) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3,%4,%5,%6}], [%2], {%7,%8};" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(bar)), "r"(c), "r"(w), "r"(h), "r"(n),
      "h"(static_cast<uint16_t>(w_offset)), "h"(static_cast<uint16_t>(h_offset))
      : "memory");
}
__device__ inline void tma_tile(void* to, const TensorMap& map, int col, int row, uint64_t* bar) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3,%4}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(bar)), "r"(col), "r"(row)
      : "memory");
}

#endif

#else

using simt::TensorMap;
inline void tma_im2col(void* to, const TensorMap& map, int c, int w, int h, int n,
                       unsigned w_offset, unsigned h_offset, uint64_t* bar) {
  simt::tma_im2col(to, map, c, w, h, n, w_offset, h_offset, bar);
}
inline void tma_tile(void* to, const TensorMap& map, int col, int row, uint64_t* bar) {
  simt::tma_tile(to, map, col, row, bar);
}

#endif

}  // namespace cnnkern::cuda
