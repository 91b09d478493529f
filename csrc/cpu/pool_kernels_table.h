// SPDX-License-Identifier: BSD-3-Clause
// The pooling kernels of one instruction set.
#pragma once

namespace cnnkern::cpu {

struct PoolKernels {};

}  // namespace cnnkern::cpu
