// SPDX-License-Identifier: BSD-3-Clause
// Convolution on CUDA cores, which serves every problem. Sums in float32 (float64 in double), in
// an order that depends on the problem alone; forward and input gradient give a sample the same
// bits in a batch of any size.
#pragma once
#include "../problem/conv_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// bias (K values) may be null.
void conv_direct_forward(const ConvProblem&, const void* x, const WeightView& w, const void* bias,
                         void* y, Stream);
// bias (C values, may be null) and problem.relu serve the transposed convolution.
void conv_direct_input_grad(const ConvProblem&, const void* dy, const WeightView& w,
                            const void* bias, void* dx, Stream);
// dw and, where db is not null, the sums of dy over each of K channels.
void conv_direct_weight_grad(const ConvProblem&, const void* dy, const void* x,
                             const WeightView& dw, void* db, void* workspace, Stream);

// The most that a batch of any size needs; 0 but for the weight gradient.
int64_t conv_direct_workspace_bytes(const ConvProblem&, Direction);

// Larger tiles are chosen where they make at least this many blocks. The choice changes no bit of a
// result; tests lower the number, to run large tiles on small tensors.
int64_t& conv_direct_enough_blocks();

}  // namespace cnnkern::cuda
