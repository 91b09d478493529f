// SPDX-License-Identifier: BSD-3-Clause
#include "conv_depthwise.h"

#include "conv_depthwise_gather.h"
#include "conv_depthwise_splits.h"
#include "conv_depthwise_square.h"
#include "conv_depthwise_tiles.h"
#include "conv_depthwise_weight_grad.h"
#include "wide.h"

namespace cnnkern::cuda {
namespace {

void gather(const ConvProblem& g, Direction direction, const void* source, const WeightView& filter,
            const void* bias, void* result, Stream stream) {
  const auto kernel = !square_serves(g) || !fits_int32(g) ? depthwise_gather
                      : g.kernel[1] == 3                  ? depthwise_square3
                      : g.kernel[1] == 5                  ? depthwise_square5
                                                          : depthwise_square7;
  kernel(g, direction, source, filter, bias, result, stream);
}

}  // namespace

void conv_depthwise_forward(const ConvProblem& g, const void* x, const WeightView& w,
                            const void* bias, void* y, Stream stream) {
  gather(g, Direction::forward, x, w, bias, y, stream);
}

void conv_depthwise_input_grad(const ConvProblem& g, const void* dy, const WeightView& w,
                               const void* bias, void* dx, Stream stream) {
  gather(g, Direction::input_grad, dy, w, bias, dx, stream);
}

void conv_depthwise_weight_grad(const ConvProblem& g, const void* dy, const void* x,
                                const WeightView& dw, void* db, void* workspace, Stream stream) {
  const bool square = square_serves(g) && fits_int32(g);
  const auto sums = !square            ? depthwise_weight_sums
                    : g.kernel[1] == 3 ? depthwise_square3_weight_sums
                    : g.kernel[1] == 5 ? depthwise_square5_weight_sums
                                       : depthwise_square7_weight_sums;
  sums(g, dy, x, workspace, stream);
  const int64_t splits = square ? square_weight_splits(g) : weight_grad_shares(g).splits;
  depthwise_weight_store(g, splits, workspace, dw, db, stream);
}

}  // namespace cnnkern::cuda
