// SPDX-License-Identifier: BSD-3-Clause
// Convolution on tensor cores (sm_80 and up) as a matrix product whose matrix of windows is never
// written. float16, bfloat16, and float32 rounded to tf32; summed in float32, in an order that
// depends on the problem alone. Forward and input gradient give a sample the same bits in a batch
// of any size.
//
// Channels are read side by side. What does not lie so, or has groups of channels that are no
// multiple of 4, is packed into the workspace first, some samples at a time.
#pragma once
#include "../problem/conv_problem.h"
#include "conv_implicit_gemm_cut.h"
#include "tensors.h"

namespace cnnkern::cuda {

// bias (K values) and residual, which lies as y does and is added before the ReLU, may be null. The
// cut is one of implicit_cuts; it changes no bit of a result.
void conv_implicit_gemm_forward(const ConvProblem&, const void* x, const WeightView& w,
                                const void* bias, const void* residual, const ImplicitCut&, void* y,
                                void* workspace, Stream);
// bias (C values, may be null) and problem.relu serve the transposed convolution.
void conv_implicit_gemm_input_grad(const ConvProblem&, const void* dy, const WeightView& w,
                                   const void* bias, const ImplicitCut&, void* dx, void* workspace,
                                   Stream);
// dw and, where db is not null, the sums of dy over each of K channels; both of type `result`: the
// problem's, or float32.
void conv_implicit_gemm_weight_grad(const ConvProblem&, const void* dy, const void* x,
                                    const WeightView& dw, void* db, DataType result,
                                    void* workspace, Stream);

// Of this call, and of a batch of any size.
int64_t conv_implicit_gemm_workspace_bytes(const ConvProblem&, Direction, int64_t split);
int64_t conv_implicit_gemm_most_workspace_bytes(const ConvProblem&, Direction);

}  // namespace cnnkern::cuda
