// SPDX-License-Identifier: BSD-3-Clause
#include "cuda_implicit_gemm.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include <ATen/ops/clone.h>

#include "../cuda/conv_implicit_gemm.h"
#include "../cuda/conv_implicit_gemm_pool.h"
#include "../plan/cuda_implicit_gemm.h"
#include "cuda_argument.h"
#include "cuda_device.h"
#include "cuda_workspace.h"

namespace cnnkern::ops {
namespace {

using at::Tensor;

// At an address that 16 divides: views of larger tensors may begin anywhere.
Tensor aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 ? t.clone() : t;
}

Tensor room(const char* op, const ConvProblem& g, Direction direction, int64_t split,
            const Tensor& like) {
  ConvProblem served = g;
  served.tf32 = g.dtype == DataType::float32;
  return workspace(op, served, direction, Algorithm::implicit_gemm,
                   cuda::conv_implicit_gemm_workspace_bytes(g, direction, split), like);
}

cuda::ImplicitCut cut_for(const ConvProblem& g, Direction direction, const Tensor& like) {
#if CNNKERN_EMULATED
  if (const auto& wanted = emulated_cut()) {
    for (const cuda::ImplicitCut& cut : cuda::implicit_cuts(g, direction)) {
      if (cut.tile == wanted->tile && (cut.split > 1) == (wanted->split > 1)) return cut;
    }
  }
#endif
  return implicit_cut(g, direction, traits_of(like));
}

}  // namespace

#if CNNKERN_EMULATED
std::optional<cuda::ImplicitCut>& emulated_cut() {
  static std::optional<cuda::ImplicitCut> cut;
  return cut;
}
#endif

void implicit_gemm(const char* op, const ConvProblem& g, Direction direction, const Tensor& input,
                   const Tensor& w, const Tensor& bias, const Tensor& residual, const Tensor& y) {
  const bool forward = direction == Direction::forward;
  const cuda::ImplicitCut cut = cut_for(g, direction, input);
  const Tensor x = aligned(input), packed = room(op, g, direction, cut.split, x);
  const Tensor addend = residual.defined() ? aligned(residual) : residual;
  const Argument from(forward ? "input" : "grad_output", x, Use::in), by("weight", w, Use::in);
  const Argument plus("bias", bias, Use::in), added("residual", addend, Use::in);
  const Argument to(forward ? "output" : "input gradient", y, Use::out);
  const Argument between("workspace", packed, Use::out);
  launch(op, [&] {
    if (forward)
      cuda::conv_implicit_gemm_forward(g, from.data(), weight_view(by, w), plus.data(),
                                       added.data(), cut, to.data(), between.data(),
                                       current_stream(x));
    else
      cuda::conv_implicit_gemm_input_grad(g, from.data(), weight_view(by, w), plus.data(), cut,
                                          to.data(), between.data(), current_stream(x));
  });
}

void implicit_gemm_pool(const char* op, const ConvProblem& g, const PoolProblem& pool,
                        const cuda::ImplicitPoolTiles& tiles, const Tensor& input, const Tensor& w,
                        const Tensor& bias, const Tensor& y) {
  // All tiles have 128 rows.
  const cuda::MmaTileSize tile =
      cut_for(g, Direction::forward, input).tile == cuda::MmaTileSize::large
          ? cuda::MmaTileSize::large
          : cuda::MmaTileSize::medium;
  const Tensor x = aligned(input), packed = room(op, g, Direction::forward, 1, x);
  const Argument from("input", x, Use::in), by("weight", w, Use::in);
  const Argument plus("bias", bias, Use::in), to("output", y, Use::out);
  const Argument between("workspace", packed, Use::out);
  launch(op, [&] {
    cuda::conv_implicit_gemm_pool(g, pool, tiles, tile, from.data(), weight_view(by, w),
                                  plus.data(), to.data(), between.data(), current_stream(x));
  });
}

void implicit_gemm_weight_grad(const char* op, const ConvProblem& g, const Tensor& grad,
                               const Tensor& input, const Tensor& dw, const Tensor& db) {
  const Tensor dy = aligned(grad), x = aligned(input);
  const Tensor packed = room(op, g, Direction::weight_grad, 1, x);
  const Argument from("grad_output", dy, Use::in), with("input", x, Use::in);
  const Argument to("weight gradient", dw, Use::out), biases("bias gradient", db, Use::out);
  const Argument between("workspace", packed, Use::out);
  const DataType result = dw.scalar_type() == at::kFloat ? DataType::float32 : g.dtype;
  launch(op, [&] {
    cuda::conv_implicit_gemm_weight_grad(g, from.data(), with.data(), weight_view(to, dw),
                                         biases.data(), result, between.data(), current_stream(x));
  });
}

}  // namespace cnnkern::ops
#endif
