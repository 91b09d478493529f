// SPDX-License-Identifier: BSD-3-Clause
// The operators as CUDA kernels serve them, for whichever dispatch key asks.
#pragma once
#include <torch/library.h>

namespace cnnkern::ops {

void register_cuda_conv(torch::Library&);
void register_cuda_pool(torch::Library&);
void register_cuda_unpool(torch::Library&);

}  // namespace cnnkern::ops
