// SPDX-License-Identifier: BSD-3-Clause
// The convolutions on a GPU.
#include "cuda_operators.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include "cuda_conv.h"

namespace cnnkern::ops {

void register_cuda_conv(torch::Library& m) {
  register_conv<CudaConv>(m);
}

}  // namespace cnnkern::ops
#endif
