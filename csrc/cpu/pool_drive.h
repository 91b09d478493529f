// SPDX-License-Identifier: BSD-3-Clause
// What the drivers of both poolings share.
#pragma once
#include "kernels.h"
#include "pool.h"

namespace cnnkern::cpu {

PoolShape pool_shape(const PoolProblem&);

// Calls body(begin, end) over [0, tasks): on the caller's thread alone where `work`, in element
// steps, is not worth waking others for.
void pool_parallel(int64_t tasks, int64_t work, const ParallelFor&, const Body& body);

inline int64_t volume(const Extent& e) { return e[0] * e[1] * e[2]; }

}  // namespace cnnkern::cpu
