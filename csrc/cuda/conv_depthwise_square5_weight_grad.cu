// SPDX-License-Identifier: BSD-3-Clause
#include "conv_depthwise_square.h"
#include "conv_depthwise_square_weight_grad.h"

namespace cnnkern::cuda {

void depthwise_square5_weight_sums(const ConvProblem& g, const void* dy, const void* x,
                                   void* workspace, Stream stream) {
  run_square_weight<5>(g, dy, x, workspace, stream);
}

}  // namespace cnnkern::cuda
