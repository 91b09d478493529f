// SPDX-License-Identifier: BSD-3-Clause
// Memory of an algorithm beside its inputs and outputs, from torch's own allocator.
#pragma once
#include <ATen/core/Tensor.h>

#include "../problem/conv_problem.h"

namespace cnnkern::ops {

// A tensor of so many bytes, uninitialised, on the device of `like`. Too little memory is torch's
// OutOfMemoryError: how much was asked for, by which algorithm, and which one needs the least.
at::Tensor workspace(const char* op, const ConvProblem&, Direction, Algorithm, int64_t bytes,
                     const at::Tensor& like);

#if CNNKERN_EMULATED
// What a workspace may take: a test sets it.
int64_t& emulated_memory();
#endif

}  // namespace cnnkern::ops
