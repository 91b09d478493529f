// SPDX-License-Identifier: BSD-3-Clause
// SSE2, NEON, or whatever vectors of 16 bytes become.
#include "prologue.h"
#define CNNKERN_ISA baseline
#define CNNKERN_WIDTH 16
#define CNNKERN_REGISTERS 16
#include "all_kernels.h"
