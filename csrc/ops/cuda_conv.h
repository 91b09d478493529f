// SPDX-License-Identifier: BSD-3-Clause
// The Backend of convolutions on a GPU: activations are made dense in the problem's format, weights
// keep their strides.
#pragma once
#include <ATen/Context.h>

#include "../cuda/conv_depthwise.h"
#include "../cuda/conv_direct.h"
#include "conv_operators.h"
#include "cuda_argument.h"
#include "cuda_device.h"
#include "cuda_im2col.h"
#include "cuda_implicit_gemm.h"
#include "cuda_workspace.h"

namespace cnnkern::ops {

inline at::MemoryFormat layout(const ConvProblem& problem) {
  if (problem.format == Format::contiguous) return at::MemoryFormat::Contiguous;
  return problem.rank == 3 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
}

struct CudaConv {
  // Of a result that the next operator reads at once: about the second cache of an H200.
  static constexpr int64_t kBlockBytes = int64_t(32) << 20;
  static constexpr bool kIndexesBorders = false;
  using Guard = DeviceGuard;

  static Algorithm choose(const ConvProblem& problem, Direction direction,
                          const std::string& algorithm, const Tensor& like) {
    // As for torch's own convolutions; the switch is one for the process.
    ConvProblem allowed = problem;
    allowed.tf32 = problem.dtype == DataType::float32 &&
                   at::globalContext().allowTF32CuDNN(at::Float32Op::CONV);
    return cnnkern::choose(allowed, direction, algorithm, traits_of(like));
  }
  static Tensor allocate(IntArrayRef size, const at::TensorOptions& options,
                         at::MemoryFormat format) {
    return at::empty(size, options.memory_format(format));
  }
  static void forward(const char* op, const ConvProblem& problem, Algorithm chosen,
                      const Tensor& input, const Tensor& w, const Tensor& bias, const Tensor& y) {
    const Tensor x = input.contiguous(layout(problem));
    if (chosen == Algorithm::im2col) return im2col_forward(op, problem, x, w, bias, y);
    if (chosen == Algorithm::implicit_gemm)
      return implicit_gemm(op, problem, Direction::forward, x, w, bias, Tensor(), y);
    const auto run =
        chosen == Algorithm::depthwise ? cuda::conv_depthwise_forward : cuda::conv_direct_forward;
    const Argument from("input", x, Use::in), by("weight", w, Use::in);
    const Argument plus("bias", bias, Use::in), to("output", y, Use::out);
    launch(op, [&] {
      run(problem, from.data(), weight_view(by, w), plus.data(), to.data(), current_stream(x));
    });
  }
  // Convolution and addition by one kernel, if it is the chosen one that can; else false.
  static bool forward_added(const char* op, const ConvProblem& problem, Algorithm chosen,
                            const Tensor& input, const Tensor& w, const Tensor& bias,
                            const Tensor& residual, const Tensor& y) {
    if (chosen != Algorithm::implicit_gemm) return false;
    const at::MemoryFormat format = layout(problem);
    implicit_gemm(op, problem, Direction::forward, input.contiguous(format), w, bias,
                  residual.contiguous(format), y);
    return true;
  }
  // Convolution and max pool by one kernel, where its tiles cover the windows; else false.
  static bool forward_pooled(const char* op, const ConvProblem& problem, Algorithm chosen,
                             const PoolProblem& pool, const Tensor& input, const Tensor& w,
                             const Tensor& bias, const Tensor& y) {
    if (chosen != Algorithm::implicit_gemm) return false;
    const cuda::ImplicitPoolTiles tiles = cuda::tile_implicit_pool(problem, pool);
    if (!tiles.refused.empty()) return false;
    implicit_gemm_pool(op, problem, pool, tiles, input.contiguous(layout(problem)), w, bias, y);
    return true;
  }
  static void input_grad(const char* op, const ConvProblem& problem, Algorithm chosen,
                         const Tensor& grad, const Tensor& w, const Tensor& bias,
                         const Tensor& dx) {
    const Tensor dy = grad.contiguous(layout(problem));
    if (chosen == Algorithm::im2col) return im2col_input_grad(op, problem, dy, w, bias, dx);
    if (chosen == Algorithm::implicit_gemm)
      return implicit_gemm(op, problem, Direction::input_grad, dy, w, bias, Tensor(), dx);
    const auto run = chosen == Algorithm::depthwise ? cuda::conv_depthwise_input_grad
                                                    : cuda::conv_direct_input_grad;
    const Argument from("grad_output", dy, Use::in), by("weight", w, Use::in);
    const Argument plus("bias", bias, Use::in), to("input gradient", dx, Use::out);
    launch(op, [&] {
      run(problem, from.data(), weight_view(by, w), plus.data(), to.data(), current_stream(dy));
    });
  }
  // Also into float32 dw and db, of 16-bit operands, which but one algorithm widens for it.
  static void weight_grad(const char* op, const ConvProblem& problem, Algorithm chosen,
                          const Tensor& grad, const Tensor& input, const Tensor& dw,
                          const Tensor& db) {
    if (dw.scalar_type() != input.scalar_type() && chosen != Algorithm::implicit_gemm) {
      ConvProblem wide = problem;
      wide.dtype = DataType::float32;
      return weight_grad(op, wide, chosen, grad.to(at::kFloat), input.to(at::kFloat), dw, db);
    }
    const Tensor dy = grad.contiguous(layout(problem)), x = input.contiguous(layout(problem));
    const Tensor sums = db.numel() ? db : Tensor();
    if (chosen == Algorithm::im2col) return im2col_weight_grad(op, problem, dy, x, dw, sums);
    if (chosen == Algorithm::implicit_gemm)
      return implicit_gemm_weight_grad(op, problem, dy, x, dw, sums);
    const bool depthwise = chosen == Algorithm::depthwise;
    const auto run = depthwise ? cuda::conv_depthwise_weight_grad : cuda::conv_direct_weight_grad;
    const auto bytes =
        depthwise ? cuda::conv_depthwise_workspace_bytes : cuda::conv_direct_workspace_bytes;
    const Tensor partial = workspace(op, problem, Direction::weight_grad, chosen,
                                     bytes(problem, Direction::weight_grad), x);
    const Argument from("grad_output", dy, Use::in), with("input", x, Use::in);
    const Argument to("weight gradient", dw, Use::out), biases("bias gradient", sums, Use::out);
    const Argument room("workspace", partial, Use::out);
    launch(op, [&] {
      run(problem, from.data(), with.data(), weight_view(to, dw), biases.data(), room.data(),
          current_stream(x));
    });
  }
};

}  // namespace cnnkern::ops
