// SPDX-License-Identifier: BSD-3-Clause
// What measures an instruction set's rate of multiply-adds.
#pragma once
#include <cstdint>

namespace cnnkern::cpu {

struct FlopsKernels {
  // sum = sum * operands[0] + operands[1], at least so many times in every vector that fits into
  // the registers; returns how many multiply-adds that were. The sink holds what they gave, and the
  // operands come from memory, so that no compiler does without them.
  using Run = int64_t (*)(int64_t steps, const double* operands, double* sink);
  Run float32, float64;
};

}  // namespace cnnkern::cpu
