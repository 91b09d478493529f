// SPDX-License-Identifier: BSD-3-Clause
// Which arguments are refused, and the shapes that the others lead to: for CPU, CUDA and fake
// kernels alike. Each condition is written once, beside its sentence.
#pragma once
#include "check_conv.h"
#include "check_conv_transpose.h"
#include "check_pool.h"
#include "conv_problem.h"
#include "pool_problem.h"

namespace cnnkern {

// From arguments that the checks accepted. `transposed` says only what the caller named: input is
// always that of the convolution. A stride or dilation too large to matter becomes the smallest
// such, so that no kernel has to count to 2^62.
ConvProblem make_problem(const ConvArguments<int64_t>&, DataType, Format, bool bias, bool relu,
                         bool transposed);
PoolProblem make_problem(const PoolArguments<int64_t>&, DataType, Format);

}  // namespace cnnkern
