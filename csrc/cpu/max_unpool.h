// SPDX-License-Identifier: BSD-3-Clause
// Max unpooling on the CPU. x, indices and dx have one layout, y and dy the same; none is empty.
#pragma once
#include "../problem/unpool_problem.h"
#include "parallel.h"

namespace cnnkern::cpu {

// Both return where, in elements, the first index stands that names no place of the output's plane;
// -1 where there is none. What such an index says is not done.

// y at each index = x, the last of several in the order of the plane; 0 elsewhere.
int64_t max_unpool(const UnpoolProblem&, const void* x, const int64_t* indices, void* y,
                   const ParallelFor&);
// dx = dy at each index.
int64_t max_unpool_grad(const UnpoolProblem&, const void* dy, const int64_t* indices, void* dx,
                        const ParallelFor&);

}  // namespace cnnkern::cpu
