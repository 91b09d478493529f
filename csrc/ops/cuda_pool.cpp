// SPDX-License-Identifier: BSD-3-Clause
// The pools on a GPU.
#include "cuda_operators.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include "../cuda/pool.h"
#include "conv_block_operators.h"
#include "cuda_argument.h"
#include "cuda_conv.h"
#include "cuda_device.h"
#include "pool_operators.h"

namespace cnnkern::ops {
namespace {

struct Cuda {
  using Guard = DeviceGuard;

  static Tensor allocate(IntArrayRef size, const at::TensorOptions& options,
                         at::MemoryFormat format) {
    return at::empty(size, options.memory_format(format));
  }
  static void max_pool(const char* op, const PoolProblem& problem, const Tensor& x, const Tensor& y,
                       const Tensor& argmax) {
    traits_of(x);
    const Argument from("input", x, Use::in), to("output", y, Use::out);
    const Argument taps("argmax", argmax, Use::out);
    launch(op, [&] {
      cuda::max_pool(problem, from.data(), to.data(), taps.data(), current_stream(x));
    });
  }
  static void max_pool_grad(const char* op, const PoolProblem& problem, const Tensor& dy,
                            const Tensor& argmax, const Tensor& dx) {
    traits_of(dy);
    const Argument from("grad_output", dy, Use::in), taps("argmax", argmax, Use::in);
    const Argument to("input gradient", dx, Use::out);
    launch(op, [&] {
      cuda::max_pool_grad(problem, from.data(), taps.data(), to.data(), current_stream(dy));
    });
  }
  static void max_pool_gather(const char* op, const PoolProblem& problem, const Tensor& x,
                              const Tensor& argmax, const Tensor& y) {
    traits_of(x);
    const Argument from("input", x, Use::in), taps("argmax", argmax, Use::in);
    const Argument to("output", y, Use::out);
    launch(op, [&] {
      cuda::max_pool_gather(problem, from.data(), taps.data(), to.data(), current_stream(x));
    });
  }
  static void max_pool_indices(const char* op, const PoolProblem& problem, const Tensor& argmax,
                               const Tensor& indices) {
    traits_of(argmax);
    const Argument taps("argmax", argmax, Use::in), to("indices", indices, Use::out);
    launch(op, [&] {
      cuda::max_pool_indices(problem, taps.data(), static_cast<int64_t*>(to.data()),
                             current_stream(argmax));
    });
  }
  static void avg_pool(const char* op, const PoolProblem& problem, const Tensor& x,
                       const Tensor& y) {
    traits_of(x);
    const Argument from("input", x, Use::in), to("output", y, Use::out);
    launch(op, [&] { cuda::avg_pool(problem, from.data(), to.data(), current_stream(x)); });
  }
  static void avg_pool_grad(const char* op, const PoolProblem& problem, const Tensor& dy,
                            const Tensor& dx) {
    traits_of(dy);
    const Argument from("grad_output", dy, Use::in), to("input gradient", dx, Use::out);
    launch(op, [&] { cuda::avg_pool_grad(problem, from.data(), to.data(), current_stream(dy)); });
  }
};

}  // namespace

void register_cuda_pool(torch::Library& m) {
  register_pool<Cuda>(m);
  register_conv_block<CudaConv, Cuda>(m);
}

}  // namespace cnnkern::ops
#endif
