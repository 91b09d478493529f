// SPDX-License-Identifier: BSD-3-Clause
// What conv.cpp sends a convolution to. Each driver also tells what it allocates.
#pragma once
#include "conv.h"
#include "conv_gather.h"
#include "conv_kernels_table.h"

namespace cnnkern::cpu {

inline Operands operands_of(const ConvProblem& g, const View& x, const Addends& added,
                            const View& y) {
  return {x.data, x.stride, y.data, y.stride, added.bias, added.residual, g.relu};
}
inline WeightGradOperands operands_of(const ConvProblem& g, const View& dy, const View& x,
                                      const View& dw, void* db) {
  return {x.data, x.stride, dy.data, dy.stride, dw.data, dw.stride, g.kernel, db};
}

// direct and im2col, forward and input gradient.
void gather_conv(const ConvProblem&, Direction, Algorithm, const View& x, const View& w,
                 const Addends&, const View& y, const ParallelFor&);
int64_t gather_conv_workspace(const ConvProblem&, Direction, Algorithm, int64_t threads);

// Direct with pixels for lanes; false, and nothing done, where the gather has to serve.
bool pixels_conv(const ConvProblem&, Direction, const View& x, const View& w, const Addends&,
                 const View& y, const ParallelFor&);
int64_t pixels_conv_workspace(const ConvProblem&, Direction, int64_t threads);

void dense_weight_grad(const ConvProblem&, Algorithm, const View& dy, const View& x, const View& dw,
                       DataType result, void* db, const ParallelFor&);
int64_t dense_weight_grad_workspace(const ConvProblem&, Algorithm, int64_t threads);

// 3x3 filters, forward and input gradient; what is not finite goes to direct.
void winograd_conv(const ConvProblem&, Direction, const View& x, const View& w, const Addends&,
                   const View& y, const ParallelFor&);
int64_t winograd_conv_workspace(const ConvProblem&, Direction, int64_t threads);

// groups = c; k any multiple of it.
void depthwise_conv(const ConvProblem&, Direction, const View& x, const View& w, const Addends&,
                    const View& y, const ParallelFor&);
int64_t depthwise_conv_workspace(const ConvProblem&, Direction, int64_t threads);

void depthwise_weight_grad(const ConvProblem&, const View& dy, const View& x, const View& dw,
                           DataType result, void* db, const ParallelFor&);
int64_t depthwise_weight_grad_workspace(const ConvProblem&, int64_t threads);

}  // namespace cnnkern::cpu
