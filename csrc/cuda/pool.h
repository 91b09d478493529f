// SPDX-License-Identifier: BSD-3-Clause
// Pooling on CUDA devices. Inputs and outputs are dense, both in problem.format; argmax has the
// layout of y and argmax_size(problem) bytes an element: the tap (t * R + r) * S + s that won. No
// output and no input is empty.
#pragma once
#include "../problem/pool_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// NaN wins (the last one), ties go to the first in row-major order. argmax may be null. A window
// without a single element inside the input yields -infinity and argmax 0.
void max_pool(const PoolProblem&, const void* x, void* y, void* argmax, Stream);
// dx[i] = the sum of dy over the windows whose argmax is i: each element written once, in a fixed
// order.
void max_pool_grad(const PoolProblem&, const void* dy, const void* argmax, void* dx, Stream);
// y = x at argmax, 0 where it names no element of the input.
void max_pool_gather(const PoolProblem&, const void* x, const void* argmax, void* y, Stream);
// torch's indices: positions in the flattened input plane.
void max_pool_indices(const PoolProblem&, const void* argmax, int64_t* indices, Stream);
void avg_pool(const PoolProblem&, const void* x, void* y, Stream);
void avg_pool_grad(const PoolProblem&, const void* dy, void* dx, Stream);

}  // namespace cnnkern::cuda
