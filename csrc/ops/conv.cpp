// SPDX-License-Identifier: BSD-3-Clause
// The convolutions on the CPU: check, choose, allocate, run.
#include "../cpu/conv.h"

#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "../plan/plan.h"
#include "arguments.h"
#include "output.h"

namespace cnnkern::ops {
namespace {

using at::IntArrayRef;

const void* data_or_null(const Tensor& t) { return t.defined() ? t.const_data_ptr() : nullptr; }

// Where no product contributes, the result is the bias alone.
void fill_with_bias(const Tensor& y, const Tensor& bias, bool relu) {
  if (!bias.defined()) {
    y.zero_();
    return;
  }
  std::vector<int64_t> column(y.dim(), 1);
  column[1] = y.size(1);
  y.copy_((relu ? at::relu(bias) : bias).view(column));
}

Tensor conv(const Tensor& input, const Tensor& weight, const OptionalTensor& optional_bias,
            IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups,
            bool relu, std::string_view algorithm) {
  const char* const op = user_name(kConv, input.dim());
  const Tensor bias = optional_bias.value_or(Tensor());
  check_rank(op, "weight", weight.dim(), input.dim());
  check_types(op, input, "input", weight, "weight");
  const auto args =
      conv_arguments<int64_t>(op, input.sizes(), weight.sizes(), stride, padding, dilation, groups);
  const auto shape = checked([&] { return conv_output_shape(args); });
  check_bias<int64_t>(op, bias, input, shape[1]);
  const auto format = memory_format(input);
  const ConvProblem problem = make_problem(args, data_type(input), format_of(format),
                                           bias.defined(), relu, /*transposed=*/false);
  const Algorithm chosen =
      checked([&] { return choose(problem, Direction::forward, std::string(algorithm)); });
  const Tensor y = allocate(shape, input.options(), format);
  if (y.numel() == 0) return y;
  if (weight.numel() == 0) {
    fill_with_bias(y, bias, relu);
    return y;
  }
  const Tensor dense_bias = bias.defined() ? bias.contiguous() : bias;
  run(op, [&] {
    cpu::conv_forward(problem, chosen, view_of(input), view_of(weight), data_or_null(dense_bias),
                      view_of(y), parallel_for());
  });
  return y;
}

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
  const auto format = memory_format(grad_output);
  const ConvProblem problem = make_problem(args, data_type(grad_output), format_of(format),
                                           bias.defined(), relu, /*transposed=*/false);
  const Algorithm chosen =
      checked([&] { return choose(problem, Direction::input_grad, std::string(algorithm)); });
  const Tensor dx = allocate(input_size, grad_output.options(), format);
  if (dx.numel() == 0) return dx;
  if (weight.numel() == 0 || grad_output.numel() == 0) {
    fill_with_bias(dx, bias, relu);
    return dx;
  }
  const Tensor dense_bias = bias.defined() ? bias.contiguous() : bias;
  run(op, [&] {
    cpu::conv_input_grad(problem, chosen, view_of(grad_output), view_of(weight),
                         data_or_null(dense_bias), view_of(dx), parallel_for());
  });
  return dx;
}

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
  const auto format = memory_format(input);
  const ConvProblem problem = make_problem(args, data_type(input), format_of(format), bias_grad,
                                           /*relu=*/false, /*transposed=*/false);
  const Algorithm chosen =
      checked([&] { return choose(problem, Direction::weight_grad, std::string(algorithm)); });
  const Tensor dw = allocate(weight_size, input.options(), format);
  const Tensor db = at::empty({bias_grad ? weight_size[0] : 0}, input.options());
  if (grad_output.numel() == 0 || dw.numel() == 0) {
    dw.zero_();
    db.zero_();
    if (bias_grad && grad_output.numel() != 0) {
      std::vector<int64_t> axes{0};
      for (int64_t axis = 2; axis < grad_output.dim(); ++axis) axes.push_back(axis);
      db.copy_(grad_output.sum(axes));
    }
    return {dw, db};
  }
  run(op, [&] {
    cpu::conv_weight_grad(problem, chosen, view_of(grad_output), view_of(input), view_of(dw),
                          bias_grad ? db.mutable_data_ptr() : nullptr, parallel_for());
  });
  return {dw, db};
}

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) {
  m.impl("conv", conv);
  m.impl("conv_input_grad", conv_input_grad);
  m.impl("conv_weight_grad", conv_weight_grad);
}

}  // namespace
}  // namespace cnnkern::ops
