// SPDX-License-Identifier: BSD-3-Clause
// Operands are rounded to tf32. The sums of splits also serve gradients of 16-bit operands that are
// asked for in float32.
#include "conv_implicit_gemm_gather_kernel.h"
#include "conv_implicit_gemm_gather_sums_kernel.h"
#include "conv_implicit_gemm_weight_grad_kernel.h"

namespace cnnkern::cuda {

template void launch_implicit_gather<float>(const ImplicitGatherParameters&, MmaTileSize,
                                            ImplicitLoads, unsigned, Stream);
template void launch_implicit_gather_sums<float>(const ImplicitGatherParameters&, int64_t, Stream);
template void launch_implicit_weight_grad<float>(const ImplicitWeightGradParameters&, MmaTileSize,
                                                 unsigned, Stream);
template void launch_implicit_weight_sums<float>(const ImplicitWeightSumsParameters&, Stream);

}  // namespace cnnkern::cuda
