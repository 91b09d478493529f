// SPDX-License-Identifier: BSD-3-Clause
// The pools on the CPU.
#include "../cpu/pool.h"

#include "conv_block_operators.h"
#include "cpu_conv.h"
#include "output.h"
#include "pool_operators.h"

namespace cnnkern::ops {
namespace {

struct Cpu {
  struct Guard {
    explicit Guard(const Tensor&) {}
  };
  static Tensor allocate(IntArrayRef size, const at::TensorOptions& options,
                         at::MemoryFormat format) {
    return ops::allocate(size, options, format);
  }
  static void max_pool(const char* op, const PoolProblem& problem, const Tensor& x, const Tensor& y,
                       const Tensor& argmax) {
    run(op, [&] {
      cpu::max_pool(problem, x.const_data_ptr(), y.mutable_data_ptr(),
                    argmax.defined() ? argmax.mutable_data_ptr() : nullptr, parallel_for());
    });
  }
  static void max_pool_grad(const char* op, const PoolProblem& problem, const Tensor& dy,
                            const Tensor& argmax, const Tensor& dx) {
    run(op, [&] {
      cpu::max_pool_grad(problem, dy.const_data_ptr(), argmax.const_data_ptr(),
                         dx.mutable_data_ptr(), parallel_for());
    });
  }
  static void max_pool_gather(const char* op, const PoolProblem& problem, const Tensor& x,
                              const Tensor& argmax, const Tensor& y) {
    run(op, [&] {
      cpu::max_pool_gather(problem, x.const_data_ptr(), argmax.const_data_ptr(),
                           y.mutable_data_ptr(), parallel_for());
    });
  }
  static void max_pool_indices(const char* op, const PoolProblem& problem, const Tensor& argmax,
                               const Tensor& indices) {
    run(op, [&] {
      cpu::max_pool_indices(problem, argmax.const_data_ptr(), indices.mutable_data_ptr<int64_t>(),
                            parallel_for());
    });
  }
  static void avg_pool(const char* op, const PoolProblem& problem, const Tensor& x,
                       const Tensor& y) {
    run(op,
        [&] { cpu::avg_pool(problem, x.const_data_ptr(), y.mutable_data_ptr(), parallel_for()); });
  }
  static void avg_pool_grad(const char* op, const PoolProblem& problem, const Tensor& dy,
                            const Tensor& dx) {
    run(op, [&] {
      cpu::avg_pool_grad(problem, dy.const_data_ptr(), dx.mutable_data_ptr(), parallel_for());
    });
  }
};

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) {
  register_pool<Cpu>(m);
  register_conv_block<CpuConv, Cpu>(m);
}

}  // namespace
}  // namespace cnnkern::ops
