// SPDX-License-Identifier: BSD-3-Clause
#include "prologue.h"
#if defined(__x86_64__)
#define CNNKERN_ISA avx512_bf16
#define CNNKERN_WIDTH 64
#define CNNKERN_REGISTERS 32
#define CNNKERN_AVX512
#define CNNKERN_AVX512_BF16
CNNKERN_TARGET_BEGIN("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#include "all_kernels.h"
CNNKERN_TARGET_END
#endif
