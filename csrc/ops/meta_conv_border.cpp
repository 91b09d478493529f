// SPDX-License-Identifier: BSD-3-Clause
// Shapes of convolutions with a border without data: the real operators' checks for symbolic
// integers.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "arguments.h"

namespace cnnkern::ops {
namespace {

using c10::SymInt;
using SymInts = c10::SymIntArrayRef;

Tensor conv_border(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                   SymInts stride, SymInts padding, SymInts dilation, SymInt groups, bool,
                   std::string_view padding_mode, std::string_view) {
  const char* const op = user_name(kConv, input.dim());
  check_rank(op, "weight", weight.dim(), input.dim());
  check_types(op, input, "input", weight, "weight");
  const auto args = conv_arguments<SymInt>(op, input.sym_sizes(), weight.sym_sizes(), stride,
                                           padding, dilation, groups);
  const auto shape = checked([&] {
    const auto output = conv_output_shape(args);
    check_border(args, border_of(op, padding_mode));
    return output;
  });
  check_bias<SymInt>(op, bias.value_or(Tensor()), input, shape[1]);
  return at::empty_symint(shape, input.options().memory_format(memory_format(input)));
}

Tensor conv_border_input_grad(const Tensor& grad_output, const Tensor& weight, SymInts input_size,
                              SymInts stride, SymInts padding, SymInts dilation, SymInt groups,
                              std::string_view padding_mode, std::string_view) {
  const char* const op = user_name(kConvInputGrad, grad_output.dim());
  check_rank(op, "weight", weight.dim(), grad_output.dim());
  check_rank(op, "input_size", int64_t(input_size.size()), grad_output.dim());
  check_types(op, grad_output, "grad_output", weight, "weight");
  const auto args =
      conv_arguments<SymInt>(op, input_size, weight.sym_sizes(), stride, padding, dilation, groups);
  checked([&] {
    check_input_grad(args, grad_output.sym_sizes().vec());
    check_border(args, border_of(op, padding_mode));
  });
  return at::empty_symint(input_size,
                          grad_output.options().memory_format(memory_format(grad_output)));
}

std::tuple<Tensor, Tensor> conv_border_weight_grad(const Tensor& grad_output, const Tensor& input,
                                                   SymInts weight_size, SymInts stride,
                                                   SymInts padding, SymInts dilation, SymInt groups,
                                                   bool bias_grad, std::string_view padding_mode,
                                                   std::string_view) {
  const char* const op = user_name(kConvWeightGrad, input.dim());
  check_rank(op, "grad_output", grad_output.dim(), input.dim());
  check_rank(op, "weight_size", int64_t(weight_size.size()), input.dim());
  check_types(op, input, "input", grad_output, "grad_output");
  const auto args =
      conv_arguments<SymInt>(op, input.sym_sizes(), weight_size, stride, padding, dilation, groups);
  checked([&] {
    check_weight_grad(args, grad_output.sym_sizes().vec());
    check_border(args, border_of(op, padding_mode));
  });
  return {at::empty_symint(weight_size, input.options().memory_format(memory_format(input))),
          at::empty_symint({bias_grad ? weight_size[0] : SymInt(0)}, input.options())};
}

TORCH_LIBRARY_IMPL(cnnkern, Meta, m) {
  m.impl("conv_border", conv_border);
  m.impl("conv_border_input_grad", conv_border_input_grad);
  m.impl("conv_border_weight_grad", conv_border_weight_grad);
}

}  // namespace
}  // namespace cnnkern::ops
