// SPDX-License-Identifier: BSD-3-Clause
// The Backend of convolutions on the CPU: strided views go to the drivers as they are.
#pragma once
#include "../cpu/conv.h"
#include "conv_operators.h"
#include "output.h"

namespace cnnkern::ops {

inline const void* data_or_null(const Tensor& t) {
  return t.defined() ? t.const_data_ptr() : nullptr;
}

struct CpuConv {
  // Of a result that the next operator reads at once: what the last cache keeps.
  static constexpr int64_t kBlockBytes = int64_t(4) << 20;
  // forward and weight_grad take a border.
  static constexpr bool kIndexesBorders = true;
  struct Guard {
    explicit Guard(const Tensor&) {}
  };
  static Algorithm choose(const ConvProblem& problem, Direction direction,
                          const std::string& algorithm, const Tensor&) {
    return cnnkern::choose(problem, direction, algorithm);
  }
  static Tensor allocate(IntArrayRef size, const at::TensorOptions& options,
                         at::MemoryFormat format) {
    return ops::allocate(size, options, format);
  }
  static void forward(const char* op, const ConvProblem& problem, Algorithm chosen, const Tensor& x,
                      const Tensor& w, const Tensor& bias, const Tensor& y,
                      Border border = Border::zeros, const Tensor& residual = Tensor()) {
    run(op, [&] {
      cpu::conv_forward(problem, chosen, view_of(x, border), view_of(w),
                        {data_or_null(bias), data_or_null(residual)}, view_of(y), parallel_for());
    });
  }
  static bool forward_added(const char* op, const ConvProblem& problem, Algorithm chosen,
                            const Tensor& x, const Tensor& w, const Tensor& bias,
                            const Tensor& residual, const Tensor& y) {
    const Tensor added = residual.contiguous(memory_format(x));
    forward(op, problem, chosen, x, w, bias, y, Border::zeros, added);
    return true;
  }
  static bool forward_pooled(const char*, const ConvProblem&, Algorithm, const PoolProblem&,
                             const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
    return false;
  }
  static void input_grad(const char* op, const ConvProblem& problem, Algorithm chosen,
                         const Tensor& dy, const Tensor& w, const Tensor& bias, const Tensor& dx) {
    run(op, [&] {
      cpu::conv_input_grad(problem, chosen, view_of(dy), view_of(w), data_or_null(bias),
                           view_of(dx), parallel_for());
    });
  }
  // Also into float32 dw and db, of 16-bit operands.
  static void weight_grad(const char* op, const ConvProblem& problem, Algorithm chosen,
                          const Tensor& dy, const Tensor& x, const Tensor& dw, const Tensor& db,
                          Border border = Border::zeros) {
    run(op, [&] {
      cpu::conv_weight_grad(problem, chosen, view_of(dy), view_of(x, border), view_of(dw),
                            data_type(dw), db.numel() ? db.mutable_data_ptr() : nullptr,
                            parallel_for());
    });
  }
};

}  // namespace cnnkern::ops
