// SPDX-License-Identifier: BSD-3-Clause
// Matrix products of a warp, d += a b, with fp32 accumulators: mma.sync. a is 16 x k by rows, b is
// k x 8 by columns. With g = lane / 4 and q = lane % 4, the registers of a lane hold
//   d[i]         row g + 8 (i / 2), column 2q + i % 2
//   k16: a[i]    row g + 8 (i % 2), columns 2q + 8 (i / 2) and the next
//        b[i]    rows 2q + 8i and the next, column g
//   k8:  a[i]    row g + 8 (i % 2), column q + 4 (i / 2)
//        b[i]    row q + 4i, column g
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#ifndef __CUDACC__
#include "../../simt/instructions.h"
#endif

namespace cnnkern::cuda {

#ifdef __CUDACC__
#define CK_MMA(name, shape, operands, model)                                                   \
  __device__ inline void name(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { \
    asm volatile("mma.sync.aligned." shape ".row.col.f32." operands                            \
                 ".f32 "                                                                       \
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                       \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));          \
  }
#else
#define CK_MMA(name, shape, operands, model)                                      \
  inline void name(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], \
                   simt::Where where = simt::Where::current()) {                  \
    model(d, a, b, where);                                                        \
  }
#endif
CK_MMA(mma_bf16, "m16n8k16", "bf16.bf16", simt::mma_bf16)
CK_MMA(mma_f16, "m16n8k16", "f16.f16", simt::mma_f16)
CK_MMA(mma_tf32, "m16n8k8", "tf32.tf32", simt::mma_tf32)
#undef CK_MMA

// To the nearest tf32, 10 bits after the point, ties away from zero. mma_tf32 would cut instead.
__device__ inline uint32_t to_tf32(float v) {
  uint32_t bits;
#ifdef __CUDACC__
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
#else
  std::memcpy(&bits, &v, sizeof bits);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  if (finite) bits = (bits + 0x1000u) & 0xffffe000u;
#endif
  return bits;
}

}  // namespace cnnkern::cuda
