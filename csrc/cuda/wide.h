// SPDX-License-Identifier: BSD-3-Clause
// Whether a call's offsets fit int32: the predicate behind the instances of index.h.
#pragma once
#include <cstdint>
#include <initializer_list>

#include "../problem/conv_problem.h"
#include "../problem/pool_problem.h"

namespace cnnkern::cuda {

// Tests set it, to run the int64 instances on tensors of any size.
bool& always_wide();

// Whether every one of these numbers of elements leaves room for a block's overshoot in int32.
bool fits_int32(std::initializer_list<int64_t> elements);
bool fits_int32(const ConvProblem&);
bool fits_int32(const PoolProblem&);

}  // namespace cnnkern::cuda
