// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution on CUDA: groups = C and K = multiplier * C, so that output channel k reads
// channel k / multiplier alone. Limited by bytes: every value is read about once. Square filters of
// 3, 5 and 7 without dilation have kernels of their own; one kernel a direction serves all others.
#pragma once
#include "../problem/conv_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// bias (K values) may be null.
void conv_depthwise_forward(const ConvProblem&, const void* x, const WeightView& w,
                            const void* bias, void* y, Stream);
// bias (C values) may be null.
void conv_depthwise_input_grad(const ConvProblem&, const void* dy, const WeightView& w,
                               const void* bias, void* dx, Stream);
// db (K values) may be null. workspace: conv_depthwise_workspace_bytes, aligned to 16 bytes.
void conv_depthwise_weight_grad(const ConvProblem&, const void* dy, const void* x,
                                const WeightView& dw, void* db, void* workspace, Stream);

// Independent of the batch; 0 but for the weight gradient.
int64_t conv_depthwise_workspace_bytes(const ConvProblem&, Direction);

}  // namespace cnnkern::cuda
