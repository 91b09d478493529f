// SPDX-License-Identifier: BSD-3-Clause
// The convolutions on the CPU: strided views go to the drivers as they are.
#include "../cpu/conv.h"

#include "conv_operators.h"
#include "output.h"

namespace cnnkern::ops {
namespace {

const void* data_or_null(const Tensor& t) { return t.defined() ? t.const_data_ptr() : nullptr; }

struct Cpu {
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
                      const Tensor& w, const Tensor& bias, const Tensor& y) {
    run(op, [&] {
      cpu::conv_forward(problem, chosen, view_of(x), view_of(w), data_or_null(bias), view_of(y),
                        parallel_for());
    });
  }
  static void input_grad(const char* op, const ConvProblem& problem, Algorithm chosen,
                         const Tensor& dy, const Tensor& w, const Tensor& bias, const Tensor& dx) {
    run(op, [&] {
      cpu::conv_input_grad(problem, chosen, view_of(dy), view_of(w), data_or_null(bias),
                           view_of(dx), parallel_for());
    });
  }
  static void weight_grad(const char* op, const ConvProblem& problem, Algorithm chosen,
                          const Tensor& dy, const Tensor& x, const Tensor& dw, const Tensor& db) {
    run(op, [&] {
      cpu::conv_weight_grad(problem, chosen, view_of(dy), view_of(x), view_of(dw),
                            db.numel() ? db.mutable_data_ptr() : nullptr, parallel_for());
    });
  }
};

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) { register_conv<Cpu>(m); }

}  // namespace
}  // namespace cnnkern::ops
