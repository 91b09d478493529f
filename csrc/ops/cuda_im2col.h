// SPDX-License-Identifier: BSD-3-Clause
// Convolution as a matrix product: csrc/cuda lays out the matrix of windows, torch's BLAS
// multiplies. Activations are dense in the problem's format; bias and bias gradient may be
// undefined.
#pragma once
#include <ATen/core/Tensor.h>

#include "../problem/conv_problem.h"

namespace cnnkern::ops {

void im2col_forward(const char* op, const ConvProblem&, const at::Tensor& x, const at::Tensor& w,
                    const at::Tensor& bias, const at::Tensor& y);
void im2col_input_grad(const char* op, const ConvProblem&, const at::Tensor& dy,
                       const at::Tensor& w, const at::Tensor& bias, const at::Tensor& dx);
void im2col_weight_grad(const char* op, const ConvProblem&, const at::Tensor& dy,
                        const at::Tensor& x, const at::Tensor& dw, const at::Tensor& db);

}  // namespace cnnkern::ops
