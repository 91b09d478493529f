// SPDX-License-Identifier: BSD-3-Clause
// The convolutions, the same steps on every device: check, guard the device, choose, allocate, run.
// A Backend has Guard(tensor), choose(problem, direction, algorithm, tensor), allocate(sizes,
// options, format), and forward, input_grad, weight_grad, which run an algorithm on tensors that
// are not empty. Operators over blocks of images also take kBlockBytes and kIndexesBorders.
#pragma once
#include <ATen/ops/empty.h>
#include <ATen/ops/relu.h>
#include <torch/library.h>

#include "../plan/plan.h"
#include "arguments.h"
#include "channel_sum.h"

namespace cnnkern::ops {

using at::IntArrayRef;

// Where no product contributes, the result is the bias alone.
inline void fill_with_bias(const Tensor& y, const Tensor& bias, bool relu) {
  if (!bias.defined()) {
    y.zero_();
    return;
  }
  std::vector<int64_t> column(y.dim(), 1);
  column[1] = y.size(1);
  y.copy_((relu ? at::relu(bias) : bias).view(column));
}

// A forward convolution: its arguments checked, its algorithm chosen, its result allocated.
template <class Backend>
struct ForwardCall {
  const char* op;
  ConvArguments<int64_t> args;
  std::vector<int64_t> shape;  // of y
  Tensor bias;                 // contiguous, or undefined
  typename Backend::Guard on_device;
  at::MemoryFormat format;
  ConvProblem problem;
  Algorithm chosen;
  Tensor y;

  ForwardCall(const Tensor& input, const Tensor& weight, const OptionalTensor& optional_bias,
              IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups,
              bool relu, std::string_view algorithm)
      : op(user_name(kConv, input.dim())),
        args(checked_arguments(input, weight, stride, padding, dilation, groups)),
        shape(checked([&] { return conv_output_shape(args); })),
        bias(optional_bias.value_or(Tensor())),
        on_device(input),
        format(memory_format(input)) {
    check_bias<int64_t>(op, bias, input, shape[1]);
    problem = make_problem(args, data_type(input), format_of(format), bias.defined(), relu,
                           /*transposed=*/false);
    chosen = checked([&] {
      return Backend::choose(problem, Direction::forward, std::string(algorithm), input);
    });
    if (bias.defined()) bias = bias.contiguous();
    y = Backend::allocate(shape, input.options(), format);
  }

 private:
  ConvArguments<int64_t> checked_arguments(const Tensor& input, const Tensor& weight,
                                           IntArrayRef stride, IntArrayRef padding,
                                           IntArrayRef dilation, int64_t groups) const {
    check_rank(op, "weight", weight.dim(), input.dim());
    check_types(op, input, "input", weight, "weight");
    return conv_arguments<int64_t>(op, input.sizes(), weight.sizes(), stride, padding, dilation,
                                   groups);
  }
};

template <class Backend>
Tensor conv(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
            IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups,
            bool relu, std::string_view algorithm) {
  const ForwardCall<Backend> call(input, weight, bias, stride, padding, dilation, groups, relu,
                                  algorithm);
  if (call.y.numel() != 0)
    Backend::forward(call.op, call.problem, call.chosen, input, weight, call.bias, call.y);
  return call.y;
}

template <class Backend>
Tensor conv_input_grad(const Tensor& grad_output, const Tensor& weight,
                       const OptionalTensor& optional_bias, IntArrayRef input_size,
                       IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                       int64_t groups, bool relu, std::string_view algorithm) {
  const char* const op = user_name(kConvInputGrad, grad_output.dim());
  const Tensor bias = optional_bias.value_or(Tensor());
  check_rank(op, "weight", weight.dim(), grad_output.dim());
  check_rank(op, "input_size", int64_t(input_size.size()), grad_output.dim());
  check_types(op, grad_output, "grad_output", weight, "weight");
  const auto args =
      conv_arguments<int64_t>(op, input_size, weight.sizes(), stride, padding, dilation, groups);
  checked([&] { check_input_grad(args, grad_output.sizes().vec()); });
  check_bias<int64_t>(op, bias, grad_output, input_size[1]);
  const typename Backend::Guard on_device(grad_output);
  const auto format = memory_format(grad_output);
  const ConvProblem problem = make_problem(args, data_type(grad_output), format_of(format),
                                           bias.defined(), relu, /*transposed=*/false);
  const Algorithm chosen = checked([&] {
    return Backend::choose(problem, Direction::input_grad, std::string(algorithm), grad_output);
  });
  const Tensor dx = Backend::allocate(input_size, grad_output.options(), format);
  if (dx.numel() == 0) return dx;
  if (weight.numel() == 0 || grad_output.numel() == 0) {
    fill_with_bias(dx, bias, relu);
    return dx;
  }
  const Tensor dense_bias = bias.defined() ? bias.contiguous() : bias;
  Backend::input_grad(op, problem, chosen, grad_output, weight, dense_bias, dx);
  return dx;
}

template <class Backend>
std::tuple<Tensor, Tensor> conv_weight_grad(const Tensor& grad_output, const Tensor& input,
                                            IntArrayRef weight_size, IntArrayRef stride,
                                            IntArrayRef padding, IntArrayRef dilation,
                                            int64_t groups, bool bias_grad,
                                            std::string_view algorithm) {
  const char* const op = user_name(kConvWeightGrad, input.dim());
  check_rank(op, "grad_output", grad_output.dim(), input.dim());
  check_rank(op, "weight_size", int64_t(weight_size.size()), input.dim());
  check_types(op, input, "input", grad_output, "grad_output");
  const auto args =
      conv_arguments<int64_t>(op, input.sizes(), weight_size, stride, padding, dilation, groups);
  checked([&] { check_weight_grad(args, grad_output.sizes().vec()); });
  const typename Backend::Guard on_device(input);
  const auto format = memory_format(input);
  const ConvProblem problem = make_problem(args, data_type(input), format_of(format), bias_grad,
                                           /*relu=*/false, /*transposed=*/false);
  const Algorithm chosen = checked([&] {
    return Backend::choose(problem, Direction::weight_grad, std::string(algorithm), input);
  });
  const Tensor dw = Backend::allocate(weight_size, input.options(), format);
  const Tensor db = at::empty({bias_grad ? weight_size[0] : 0}, input.options());
  if (grad_output.numel() == 0 || dw.numel() == 0) {
    dw.zero_();
    db.zero_();
    if (bias_grad && grad_output.numel() != 0) db.copy_(channel_sum(grad_output));
    return {dw, db};
  }
  Backend::weight_grad(op, problem, chosen, grad_output, input, dw, db);
  return {dw, db};
}

template <class Backend>
void register_conv(torch::Library& m) {
  m.impl("conv", conv<Backend>);
  m.impl("conv_input_grad", conv_input_grad<Backend>);
  m.impl("conv_weight_grad", conv_weight_grad<Backend>);
}

}  // namespace cnnkern::ops
