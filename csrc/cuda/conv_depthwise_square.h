// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution with square filters of 3, 5 and 7: the problems that square_serves names.
#pragma once
#include "../problem/conv_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// One instance a filter, each in a file of its own.
void depthwise_square3(const ConvProblem&, Direction, const void* source, const WeightView& filter,
                       const void* bias, void* result, Stream);
void depthwise_square5(const ConvProblem&, Direction, const void* source, const WeightView& filter,
                       const void* bias, void* result, Stream);
void depthwise_square7(const ConvProblem&, Direction, const void* source, const WeightView& filter,
                       const void* bias, void* result, Stream);

// First stage of a weight gradient: see conv_depthwise_weight_grad.h.
void depthwise_square3_weight_sums(const ConvProblem&, const void* dy, const void* x,
                                   void* workspace, Stream);
void depthwise_square5_weight_sums(const ConvProblem&, const void* dy, const void* x,
                                   void* workspace, Stream);
void depthwise_square7_weight_sums(const ConvProblem&, const void* dy, const void* x,
                                   void* workspace, Stream);

}  // namespace cnnkern::cuda
