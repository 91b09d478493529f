// SPDX-License-Identifier: BSD-3-Clause
// Matrices between shared memory and a warp's registers: ldmatrix. Lane l of 8i .. 8i+7 names row
// l - 8i of matrix i, 16 bytes; lane l receives elements 2 (l % 4) and the next of row l / 4 of
// each, transposed: of column l / 4.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "copy.h"

namespace cnnkern::cuda {

#ifdef __CUDACC__

#define CK_LDMATRIX(name, shape, count, outputs, address, ...)                                   \
  __device__ inline void name(uint32_t (&r)[count], const void* row) {                           \
    asm volatile("ldmatrix.sync.aligned.m8n8." shape ".shared.b16 {" outputs "}, [" address "];" \
                 : __VA_ARGS__                                                                   \
                 : "r"(shared_address(row))                                                      \
                 : "memory");                                                                    \
  }
#define CK_LDMATRICES(name, trans)                                                               \
  CK_LDMATRIX(name##_x1, "x1" trans, 1, "%0", "%1", "=r"(r[0]))                                  \
  CK_LDMATRIX(name##_x2, "x2" trans, 2, "%0,%1", "%2", "=r"(r[0]), "=r"(r[1]))                   \
  CK_LDMATRIX(name##_x4, "x4" trans, 4, "%0,%1,%2,%3", "%4", "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), \
              "=r"(r[3]))

#else

#define CK_LDMATRIX(name, count, transposed)                     \
  inline void name(uint32_t (&r)[count], const void* row,        \
                   simt::Where where = simt::Where::current()) { \
    simt::ldmatrix(r, row, count, transposed, where);            \
  }
#define CK_LDMATRICES(name, trans)             \
  CK_LDMATRIX(name##_x1, 1, sizeof(trans) > 1) \
  CK_LDMATRIX(name##_x2, 2, sizeof(trans) > 1) \
  CK_LDMATRIX(name##_x4, 4, sizeof(trans) > 1)

#endif

CK_LDMATRICES(ldmatrix, "")
CK_LDMATRICES(ldmatrix_trans, ".trans")
#undef CK_LDMATRICES
#undef CK_LDMATRIX

}  // namespace cnnkern::cuda
