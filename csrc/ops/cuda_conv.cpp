// SPDX-License-Identifier: BSD-3-Clause
// The convolutions on a GPU.
#include "cuda_operators.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include "conv_add_operators.h"
#include "conv_border_operators.h"
#include "cuda_conv.h"

namespace cnnkern::ops {

void register_cuda_conv(torch::Library& m) {
  register_conv<CudaConv>(m);
  register_conv_border<CudaConv>(m);
  m.impl("conv_add", conv_add<CudaConv>);
}

}  // namespace cnnkern::ops
#endif
