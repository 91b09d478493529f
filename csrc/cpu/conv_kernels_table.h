// SPDX-License-Identifier: BSD-3-Clause
// The convolution kernels of one instruction set.
#pragma once

namespace cnnkern::cpu {

struct ConvKernels {};

}  // namespace cnnkern::cpu
