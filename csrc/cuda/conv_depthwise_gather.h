// SPDX-License-Identifier: BSD-3-Clause
// Forward and input gradient of any depthwise problem: what conv_depthwise_square.h does not serve.
#pragma once
#include "../problem/conv_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

void depthwise_gather(const ConvProblem&, Direction, const void* source, const WeightView& filter,
                      const void* bias, void* result, Stream);

}  // namespace cnnkern::cuda
