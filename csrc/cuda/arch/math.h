// SPDX-License-Identifier: BSD-3-Clause
// The multiply-add that convolutions are made of, under a name of its own so that the emulator can
// count it: a test then holds a kernel to the number of them that its algorithm needs.
#pragma once
#include <cuda_runtime.h>

#include <cmath>

#ifndef __CUDACC__
#include "../../simt/count.h"
#endif

namespace cnnkern::cuda {

#ifdef __CUDACC__
__device__ inline float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
__device__ inline double fma(double a, double b, double c) { return ::fma(a, b, c); }
#else
inline float fma(float a, float b, float c) {
  simt::count_multiply_add();
  return __builtin_fmaf(a, b, c);
}
inline double fma(double a, double b, double c) {
  simt::count_multiply_add();
  return __builtin_fma(a, b, c);
}
#endif

}  // namespace cnnkern::cuda
