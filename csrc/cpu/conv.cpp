// SPDX-License-Identifier: BSD-3-Clause
#include "conv.h"

#include <algorithm>

#include "conv_drivers.h"

namespace cnnkern::cpu {
namespace {

// Every second column of a long row: depthwise, whose lanes are channels, stores them one by one.
constexpr int64_t kLongRow = 40;

bool may_take_pixels(const ConvProblem& g, Direction direction, Algorithm algorithm) {
  if (algorithm == Algorithm::direct) return true;
  return algorithm == Algorithm::depthwise && direction == Direction::input_grad &&
         g.format == Format::contiguous && g.stride[2] == 2 && g.input[2] >= kLongRow;
}

void gather(const ConvProblem& g, Direction direction, Algorithm algorithm, const View& x,
            const View& w, const Addends& added, const View& y, const ParallelFor& parallel) {
  if (algorithm == Algorithm::winograd)
    return winograd_conv(g, direction, x, w, added, y, parallel);
  if (may_take_pixels(g, direction, algorithm) &&
      pixels_conv(g, direction, x, w, added, y, parallel))
    return;
  if (algorithm == Algorithm::depthwise)
    return depthwise_conv(g, direction, x, w, added, y, parallel);
  gather_conv(g, direction, algorithm, x, w, added, y, parallel);
}

}  // namespace

void conv_forward(const ConvProblem& g, Algorithm algorithm, const View& x, const View& w,
                  const Addends& added, const View& y, const ParallelFor& parallel) {
  gather(g, Direction::forward, algorithm, x, w, added, y, parallel);
}

void conv_input_grad(const ConvProblem& g, Algorithm algorithm, const View& dy, const View& w,
                     const void* bias, const View& dx, const ParallelFor& parallel) {
  gather(g, Direction::input_grad, algorithm, dy, w, {bias, nullptr}, dx, parallel);
}

void conv_weight_grad(const ConvProblem& g, Algorithm algorithm, const View& dy, const View& x,
                      const View& dw, DataType result, void* db, const ParallelFor& parallel) {
  if (algorithm == Algorithm::depthwise)
    return depthwise_weight_grad(g, dy, x, dw, result, db, parallel);
  dense_weight_grad(g, algorithm, dy, x, dw, result, db, parallel);
}

int64_t conv_workspace_bytes(const ConvProblem& g, Direction direction, Algorithm algorithm,
                             int64_t threads) {
  const bool depthwise = algorithm == Algorithm::depthwise;
  if (direction == Direction::weight_grad)
    return depthwise ? depthwise_weight_grad_workspace(g, threads)
                     : dense_weight_grad_workspace(g, algorithm, threads);
  if (algorithm == Algorithm::winograd) return winograd_conv_workspace(g, direction, threads);
  const int64_t other = depthwise ? depthwise_conv_workspace(g, direction, threads)
                                  : gather_conv_workspace(g, direction, algorithm, threads);
  // Borders other than zeros are left to the others.
  if (!may_take_pixels(g, direction, algorithm)) return other;
  return std::max(other, pixels_conv_workspace(g, direction, threads));
}

}  // namespace cnnkern::cpu
