// SPDX-License-Identifier: BSD-3-Clause
// Convolution on tensor cores: csrc/cuda/conv_implicit_gemm.h on torch's tensors. Activations are
// dense in the problem's format; bias, residual and bias gradient may be undefined.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "../cuda/conv_implicit_gemm_cut.h"
#include "../cuda/conv_implicit_gemm_pool_tiles.h"
#include "../problem/conv_problem.h"

namespace cnnkern::ops {

// Forward, with a residual added to it, or input gradient: of x (dy) into y (dx).
void implicit_gemm(const char* op, const ConvProblem&, Direction, const at::Tensor& x,
                   const at::Tensor& w, const at::Tensor& bias, const at::Tensor& residual,
                   const at::Tensor& y);
// Forward and the max pool after it, into y.
void implicit_gemm_pool(const char* op, const ConvProblem&, const PoolProblem&,
                        const cuda::ImplicitPoolTiles&, const at::Tensor& x, const at::Tensor& w,
                        const at::Tensor& bias, const at::Tensor& y);
// dw and db of the problem's type, or of float32.
void implicit_gemm_weight_grad(const char* op, const ConvProblem&, const at::Tensor& dy,
                               const at::Tensor& x, const at::Tensor& dw, const at::Tensor& db);

#if CNNKERN_EMULATED
// The cut of every problem that can be cut so: a test sets it.
std::optional<cuda::ImplicitCut>& emulated_cut();
#endif

}  // namespace cnnkern::ops
