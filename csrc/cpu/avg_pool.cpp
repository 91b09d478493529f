// SPDX-License-Identifier: BSD-3-Clause
#include "pool_drive.h"

namespace cnnkern::cpu {

namespace {

void run(const PoolProblem& problem, const PoolShape& shape, PoolKernels::Values kernel,
         const void* from, void* to, const Extent& rows, const ParallelFor& parallel) {
  if (problem.c == 0) return;
  const int64_t elements = problem.n * problem.c * volume(problem.input);
  pool_parallel(shape.images * rows[0] * rows[1], elements, parallel,
                [&](int64_t begin, int64_t end) {
                  PoolScratch scratch;
                  kernel(shape, from, to, scratch, begin, end);
                });
}

}  // namespace

void avg_pool(const PoolProblem& problem, const void* x, void* y, const ParallelFor& parallel) {
  const PoolKernels& table = *kernels().pool;
  run(problem, pool_shape(problem), table.avg[static_cast<int>(problem.dtype)], x, y,
      problem.output, parallel);
}

void avg_pool_grad(const PoolProblem& problem, const void* dy, void* dx,
                   const ParallelFor& parallel) {
  const PoolKernels& table = *kernels().pool;
  run(problem, pool_shape(problem), table.avg_grad[static_cast<int>(problem.dtype)], dy, dx,
      problem.input, parallel);
}

}  // namespace cnnkern::cpu
