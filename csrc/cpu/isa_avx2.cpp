// SPDX-License-Identifier: BSD-3-Clause
#include "prologue.h"
#if defined(__x86_64__)
#define CNNKERN_ISA avx2
#define CNNKERN_WIDTH 32
#define CNNKERN_REGISTERS 16
#define CNNKERN_AVX2
CNNKERN_TARGET_BEGIN("avx2,fma,f16c")
#include "all_kernels.h"
CNNKERN_TARGET_END
#endif
