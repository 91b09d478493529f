// SPDX-License-Identifier: BSD-3-Clause
#include "conv_direct_gather_kernel.h"
#include "conv_direct_weight_grad_kernel.h"

namespace cnnkern::cuda {

template void launch_gather<float, int32_t>(const GatherParameters<int32_t>&, GatherTile,
                                            GatherLoads, unsigned, Stream);
template void launch_gather<float, int64_t>(const GatherParameters<int64_t>&, GatherTile,
                                            GatherLoads, unsigned, Stream);
template void launch_weight_grad<float, int32_t>(const WeightGradParameters<int32_t>&,
                                                 WeightGradTile, const WeightGradGrids&, Stream);
template void launch_weight_grad<float, int64_t>(const WeightGradParameters<int64_t>&,
                                                 WeightGradTile, const WeightGradGrids&, Stream);

}  // namespace cnnkern::cuda
