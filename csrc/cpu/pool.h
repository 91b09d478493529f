// Pooling on the CPU. Inputs and outputs are dense, both in problem.format; argmax has the layout
// of y and argmax_size(problem) bytes an element: the tap (t * R + r) * S + s that won.
#pragma once
#include "../problem/pool_problem.h"
#include "parallel.h"

namespace cnnkern::cpu {

// NaN wins (the last one), ties go to the first in row-major order. argmax may be null. A window
// without a single element inside the input yields -infinity and argmax 0.
void max_pool(const PoolProblem&, const void* x, void* y, void* argmax, const ParallelFor&);
// dx[i] = sum of dy over the windows whose argmax is i: each element written once, in a fixed
// order.
void max_pool_grad(const PoolProblem&, const void* dy, const void* argmax, void* dx,
                   const ParallelFor&);
// y = x at argmax: what differentiates max_pool_grad, and max_pool's tangent.
void max_pool_gather(const PoolProblem&, const void* x, const void* argmax, void* y,
                     const ParallelFor&);
// torch's indices: positions in the flattened input plane.
void max_pool_indices(const PoolProblem&, const void* argmax, int64_t* indices, const ParallelFor&);
void avg_pool(const PoolProblem&, const void* x, void* y, const ParallelFor&);
void avg_pool_grad(const PoolProblem&, const void* dy, void* dx, const ParallelFor&);

}  // namespace cnnkern::cpu
