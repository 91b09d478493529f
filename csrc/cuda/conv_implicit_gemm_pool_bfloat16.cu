// SPDX-License-Identifier: BSD-3-Clause
#include "conv_implicit_gemm_pool_kernel.h"

namespace cnnkern::cuda {

template void launch_implicit_pool<__nv_bfloat16>(const ImplicitPoolParameters&, MmaTileSize,
                                                  ImplicitLoads, unsigned, Stream);

}  // namespace cnnkern::cuda
