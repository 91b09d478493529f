// SPDX-License-Identifier: BSD-3-Clause
#include "conv_implicit_gemm_gather_kernel.h"
#include "conv_implicit_gemm_gather_sums_kernel.h"
#include "conv_implicit_gemm_weight_grad_kernel.h"

namespace cnnkern::cuda {

template void launch_implicit_gather<__nv_bfloat16>(const ImplicitGatherParameters&, MmaTileSize,
                                                    ImplicitLoads, unsigned, Stream);
template void launch_implicit_gather_sums<__nv_bfloat16>(const ImplicitGatherParameters&, int64_t,
                                                         Stream);
template void launch_implicit_weight_grad<__nv_bfloat16>(const ImplicitWeightGradParameters&,
                                                         MmaTileSize, unsigned, Stream);
template void launch_implicit_weight_sums<__nv_bfloat16>(const ImplicitWeightSumsParameters&,
                                                         Stream);

}  // namespace cnnkern::cuda
