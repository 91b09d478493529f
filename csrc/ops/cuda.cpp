// SPDX-License-Identifier: BSD-3-Clause
// The CUDA key: the operators, or, in a build without CUDA kernels, a sentence that says so instead
// of a dispatcher's.
#include "cuda_operators.h"

namespace cnnkern::ops {
namespace {

#if CNNKERN_CUDA

TORCH_LIBRARY_IMPL(cnnkern, CUDA, m) {
  register_cuda_conv(m);
  register_cuda_pool(m);
  register_cuda_unpool(m);
}

#else

void refuse(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      false, op.operator_name().name, ": expected CPU tensors, got CUDA tensors; this build of ",
      "cnnkern has no CUDA kernels: build it where nvcc is (CNNKERN_CUDA=1 says what is missing), ",
      "move the tensors with .cpu(), or keep torch's own layer there");
}

TORCH_LIBRARY_IMPL(cnnkern, CUDA, m) {
  for (const char* name :
       {"conv", "conv_add", "conv_input_grad", "conv_weight_grad", "conv_border",
        "conv_border_input_grad", "conv_border_weight_grad", "conv_block", "conv_block_grad",
        "max_pool", "max_pool_grad", "max_pool_gather", "max_pool_indices", "avg_pool",
        "avg_pool_grad", "max_unpool", "max_unpool_grad"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&refuse>());
}

#endif

}  // namespace
}  // namespace cnnkern::ops
