// SPDX-License-Identifier: BSD-3-Clause
// One table of kernels an instruction set: all that the drivers see of code compiled for it.
#pragma once
#include "conv_kernels_table.h"
#include "flops_kernels_table.h"
#include "pool_kernels_table.h"

namespace cnnkern::cpu {

struct Kernels {
  const char* name;
  int lanes;  // float32 values in a vector
  const ConvKernels* conv;
  const PoolKernels* pool;
  const FlopsKernels* flops;
};

extern const Kernels baseline_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels, avx512_kernels, avx512_bf16_kernels;
#endif

// The best table that this CPU runs; the environment variable CNNKERN_ISA names a lower one.
// Throws std::runtime_error where that name is unknown or not available here.
const Kernels& kernels();

}  // namespace cnnkern::cpu
