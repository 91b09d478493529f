// SPDX-License-Identifier: BSD-3-Clause
// dx = the sum of dy / divisor over the windows that hold an element.
#include "pool.h"
#include "pool_backward.h"

namespace cnnkern::cuda {

void avg_pool_grad(const PoolProblem& problem, const void* dy, void* dx, Stream stream) {
  with_element(problem.dtype, [&](auto element) {
    pool_backward<Gradient<decltype(element), false>>(problem, dy, nullptr, dx, stream);
  });
}

}  // namespace cnnkern::cuda
