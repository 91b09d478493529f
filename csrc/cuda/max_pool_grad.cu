// SPDX-License-Identifier: BSD-3-Clause
// dx = the sum of dy over the windows whose maximum an element is.
#include "pool.h"
#include "pool_backward.h"

namespace cnnkern::cuda {

void max_pool_grad(const PoolProblem& problem, const void* dy, const void* argmax, void* dx,
                   Stream stream) {
  with_element(problem.dtype, [&](auto element) {
    pool_backward<Gradient<decltype(element), true>>(problem, dy, argmax, dx, stream);
  });
}

}  // namespace cnnkern::cuda
