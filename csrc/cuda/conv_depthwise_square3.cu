// SPDX-License-Identifier: BSD-3-Clause
#include "conv_depthwise_square.h"
#include "conv_depthwise_square_kernel.h"

namespace cnnkern::cuda {

void depthwise_square3(const ConvProblem& g, Direction direction, const void* source,
                       const WeightView& filter, const void* bias, void* result, Stream stream) {
  run_square<3>(g, direction, source, filter, bias, result, stream);
}

}  // namespace cnnkern::cuda
