// SPDX-License-Identifier: BSD-3-Clause
#include "conv.h"

#include <algorithm>

#include "conv_drivers.h"

namespace cnnkern::cpu {

void conv_forward(const ConvProblem& g, Algorithm algorithm, const View& x, const View& w,
                  const void* bias, const View& y, const ParallelFor& parallel) {
  if (algorithm == Algorithm::depthwise)
    return depthwise_conv(g, Direction::forward, x, w, bias, y, parallel);
  if (algorithm == Algorithm::winograd)
    return winograd_conv(g, Direction::forward, x, w, bias, y, parallel);
  if (algorithm == Algorithm::direct && pixels_conv(g, Direction::forward, x, w, bias, y, parallel))
    return;
  gather_conv(g, Direction::forward, algorithm, x, w, bias, y, parallel);
}

void conv_input_grad(const ConvProblem& g, Algorithm algorithm, const View& dy, const View& w,
                     const void* bias, const View& dx, const ParallelFor& parallel) {
  if (algorithm == Algorithm::depthwise)
    return depthwise_conv(g, Direction::input_grad, dy, w, bias, dx, parallel);
  if (algorithm == Algorithm::winograd)
    return winograd_conv(g, Direction::input_grad, dy, w, bias, dx, parallel);
  if (algorithm == Algorithm::direct &&
      pixels_conv(g, Direction::input_grad, dy, w, bias, dx, parallel))
    return;
  gather_conv(g, Direction::input_grad, algorithm, dy, w, bias, dx, parallel);
}

void conv_weight_grad(const ConvProblem& g, Algorithm algorithm, const View& dy, const View& x,
                      const View& dw, DataType result, void* db, const ParallelFor& parallel) {
  if (algorithm == Algorithm::depthwise)
    return depthwise_weight_grad(g, dy, x, dw, result, db, parallel);
  dense_weight_grad(g, algorithm, dy, x, dw, result, db, parallel);
}

int64_t conv_workspace_bytes(const ConvProblem& g, Direction direction, Algorithm algorithm,
                             int64_t threads) {
  const bool filters = direction == Direction::weight_grad;
  if (algorithm == Algorithm::depthwise)
    return filters ? depthwise_weight_grad_workspace(g, threads)
                   : depthwise_conv_workspace(g, direction, threads);
  if (algorithm == Algorithm::winograd) return winograd_conv_workspace(g, direction, threads);
  if (filters) return dense_weight_grad_workspace(g, algorithm, threads);
  const int64_t gather = gather_conv_workspace(g, direction, algorithm, threads);
  if (algorithm != Algorithm::direct) return gather;
  // In front of other borders than zeros, direct gathers.
  return std::max(gather, pixels_conv_workspace(g, direction, threads));
}

}  // namespace cnnkern::cpu
