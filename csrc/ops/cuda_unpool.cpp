// SPDX-License-Identifier: BSD-3-Clause
// Max unpooling on a GPU.
#include "cuda_operators.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "../cuda/max_unpool.h"
#include "cuda_argument.h"
#include "cuda_device.h"
#include "cuda_workspace.h"
#include "unpool_operators.h"

namespace cnnkern::ops {
namespace {

// What no element has claimed yet.
Tensor claims(const UnpoolProblem& problem, const Tensor& like) {
  const int64_t bytes = cuda::max_unpool_workspace(problem);
  try {
#if CNNKERN_EMULATED
    if (bytes > emulated_memory())
      C10_THROW_ERROR(OutOfMemoryError, "more than the emulated device has left");
#endif
    return at::zeros({bytes / 4}, like.options().dtype(at::kInt));
  } catch (const c10::OutOfMemoryError&) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, problem.op, ": no memory on ", like.device(),
                     " for the workspace of ", bytes, " bytes");
  }
}

struct Cuda {
  using Guard = DeviceGuard;

  static Tensor allocate(IntArrayRef size, const at::TensorOptions& options,
                         at::MemoryFormat format) {
    return at::empty(size, options.memory_format(format));
  }
  static void max_unpool(const UnpoolProblem& problem, const Tensor& x, const Tensor& indices,
                         const Tensor& y) {
    traits_of(x);
    const Tensor space = claims(problem, x);
    const Argument from("input", x, Use::in), places("indices", indices, Use::in);
    const Argument to("output", y, Use::out), workspace("workspace", space, Use::inout);
    launch(problem.op, [&] {
      cuda::max_unpool(problem, from.data(), static_cast<const int64_t*>(places.data()), to.data(),
                       workspace.data(), current_stream(x));
    });
  }
  static void max_unpool_grad(const UnpoolProblem& problem, const Tensor& dy, const Tensor& indices,
                              const Tensor& dx) {
    traits_of(dy);
    const Argument from("grad_output", dy, Use::in), places("indices", indices, Use::in);
    const Argument to("input gradient", dx, Use::out);
    launch(problem.op, [&] {
      cuda::max_unpool_grad(problem, from.data(), static_cast<const int64_t*>(places.data()),
                            to.data(), current_stream(dy));
    });
  }
};

}  // namespace

void register_cuda_unpool(torch::Library& m) { register_unpool<Cuda>(m); }

}  // namespace cnnkern::ops
#endif
