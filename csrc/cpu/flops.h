// SPDX-License-Identifier: BSD-3-Clause
// The rate of arithmetic that this machine reaches now, with the instruction set that runs.
#pragma once
#include "../problem/types.h"
#include "parallel.h"

namespace cnnkern::cpu {

// FLOP/s (a multiply-add counts twice) of so many threads that multiply and add in registers: the
// best of short rounds, for about so long. 16-bit types are computed in float32.
double measure_flops(DataType, double milliseconds, int64_t threads, const ParallelFor&);

}  // namespace cnnkern::cpu
