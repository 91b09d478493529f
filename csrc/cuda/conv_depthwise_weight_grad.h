// SPDX-License-Identifier: BSD-3-Clause
// The two stages of a depthwise weight gradient.
#pragma once
#include "../problem/conv_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// First stage, any problem: partial sums [split][K][taps + 1] into the workspace, the last of each
// filter being the sum of dy.
void depthwise_weight_sums(const ConvProblem&, const void* dy, const void* x, void* workspace,
                           Stream);

// Second stage: adds the splits in their order.
void depthwise_weight_store(const ConvProblem&, int64_t splits, const void* workspace,
                            const WeightView& dw, void* db, Stream);

}  // namespace cnnkern::cuda
