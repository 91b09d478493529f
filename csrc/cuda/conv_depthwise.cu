// SPDX-License-Identifier: BSD-3-Clause
#include "conv_depthwise.h"

#include "conv_depthwise_gather.h"
#include "conv_depthwise_splits.h"
#include "conv_depthwise_weight_grad.h"

namespace cnnkern::cuda {

void conv_depthwise_forward(const ConvProblem& g, const void* x, const WeightView& w,
                            const void* bias, void* y, Stream stream) {
  depthwise_gather(g, Direction::forward, x, w, bias, y, stream);
}

void conv_depthwise_input_grad(const ConvProblem& g, const void* dy, const WeightView& w,
                               const void* bias, void* dx, Stream stream) {
  depthwise_gather(g, Direction::input_grad, dy, w, bias, dx, stream);
}

void conv_depthwise_weight_grad(const ConvProblem& g, const void* dy, const void* x,
                                const WeightView& dw, void* db, void* workspace, Stream stream) {
  depthwise_weight_sums(g, dy, x, workspace, stream);
  depthwise_weight_store(g, weight_grad_shares(g).splits, workspace, dw, db, stream);
}

}  // namespace cnnkern::cuda
