// SPDX-License-Identifier: BSD-3-Clause
// Max unpooling on the CPU, and its shapes without data.
#include <ATen/ops/empty.h>

#include "../cpu/max_unpool.h"
#include "output.h"
#include "unpool_operators.h"

namespace cnnkern::ops {
namespace {

// place: where a kernel found an index that names none of the output's elements, or -1.
void check_place(const UnpoolProblem& problem, const Tensor& indices, int64_t place,
                 IntArrayRef plane) {
  TORCH_CHECK(place < 0, problem.op, ": expected indices from 0 to ", problem.output - 1,
              ", the elements of an output of size ", plane, ", got ",
              indices.const_data_ptr<int64_t>()[place]);
}

struct Cpu {
  struct Guard {
    explicit Guard(const Tensor&) {}
  };
  static Tensor allocate(IntArrayRef size, const at::TensorOptions& options,
                         at::MemoryFormat format) {
    return ops::allocate(size, options, format);
  }
  static void max_unpool(const UnpoolProblem& problem, const Tensor& x, const Tensor& indices,
                         const Tensor& y) {
    const int64_t wrong =
        cpu::max_unpool(problem, x.const_data_ptr(), indices.const_data_ptr<int64_t>(),
                        y.mutable_data_ptr(), parallel_for());
    check_place(problem, indices, wrong, y.sizes().slice(2));
  }
  static void max_unpool_grad(const UnpoolProblem& problem, const Tensor& dy, const Tensor& indices,
                              const Tensor& dx) {
    const int64_t wrong =
        cpu::max_unpool_grad(problem, dy.const_data_ptr(), indices.const_data_ptr<int64_t>(),
                             dx.mutable_data_ptr(), parallel_for());
    check_place(problem, indices, wrong, dy.sizes().slice(2));
  }
};

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) { register_unpool<Cpu>(m); }

Tensor meta_max_unpool(const Tensor& input, const Tensor& indices,
                       c10::SymIntArrayRef output_size) {
  const auto shape =
      checked_unpool<c10::SymInt>(user_name(kMaxUnpool, input.dim()), input, indices, output_size);
  return at::empty_symint(shape, input.options().memory_format(memory_format(input)));
}

Tensor meta_max_unpool_grad(const Tensor& grad_output, const Tensor& indices) {
  checked_unpool_grad<c10::SymInt>(user_name(kMaxUnpool, grad_output.dim()), grad_output, indices);
  return at::empty_symint(indices.sym_sizes(),
                          grad_output.options().memory_format(memory_format(grad_output)));
}

TORCH_LIBRARY_IMPL(cnnkern, Meta, m) {
  m.impl("max_unpool", meta_max_unpool);
  m.impl("max_unpool_grad", meta_max_unpool_grad);
}

}  // namespace
}  // namespace cnnkern::ops
