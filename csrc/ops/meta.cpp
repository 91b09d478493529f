// SPDX-License-Identifier: BSD-3-Clause
// Shapes without data, for torch.compile, export and the meta device: the checks and sizes of the
// real operators, instantiated for symbolic integers.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "arguments.h"

namespace cnnkern::ops {
namespace {

using c10::SymInt;
using SymInts = c10::SymIntArrayRef;

Tensor empty(const std::vector<SymInt>& shape, const at::TensorOptions& options,
             at::MemoryFormat format) {
  return at::empty_symint(shape, options.memory_format(format));
}

Tensor conv_with(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                 const Tensor& residual, SymInts stride, SymInts padding, SymInts dilation,
                 SymInt groups) {
  const char* const op = user_name(kConv, input.dim());
  check_rank(op, "weight", weight.dim(), input.dim());
  check_types(op, input, "input", weight, "weight");
  const auto shape = checked([&] {
    return conv_output_shape(conv_arguments<SymInt>(op, input.sym_sizes(), weight.sym_sizes(),
                                                    stride, padding, dilation, groups));
  });
  check_bias<SymInt>(op, bias.value_or(Tensor()), input, shape[1]);
  if (residual.defined()) check_residual<SymInt>(op, residual, input, shape);
  return empty(shape, input.options(), memory_format(input));
}

Tensor conv(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, SymInts stride,
            SymInts padding, SymInts dilation, SymInt groups, bool, std::string_view) {
  return conv_with(input, weight, bias, Tensor(), stride, padding, dilation, std::move(groups));
}

Tensor conv_add(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                const Tensor& residual, SymInts stride, SymInts padding, SymInts dilation,
                SymInt groups, bool, std::string_view) {
  return conv_with(input, weight, bias, residual, stride, padding, dilation, std::move(groups));
}

Tensor conv_input_grad(const Tensor& grad_output, const Tensor& weight, const OptionalTensor& bias,
                       SymInts input_size, SymInts stride, SymInts padding, SymInts dilation,
                       SymInt groups, bool, std::string_view) {
  const char* const op = user_name(kConvInputGrad, grad_output.dim());
  check_rank(op, "weight", weight.dim(), grad_output.dim());
  check_rank(op, "input_size", int64_t(input_size.size()), grad_output.dim());
  check_types(op, grad_output, "grad_output", weight, "weight");
  checked([&] {
    check_input_grad(conv_arguments<SymInt>(op, input_size, weight.sym_sizes(), stride, padding,
                                            dilation, groups),
                     grad_output.sym_sizes().vec());
  });
  check_bias<SymInt>(op, bias.value_or(Tensor()), grad_output, input_size[1]);
  return empty(input_size.vec(), grad_output.options(), memory_format(grad_output));
}

std::tuple<Tensor, Tensor> conv_weight_grad(const Tensor& grad_output, const Tensor& input,
                                            SymInts weight_size, SymInts stride, SymInts padding,
                                            SymInts dilation, SymInt groups, bool bias_grad,
                                            std::string_view) {
  const char* const op = user_name(kConvWeightGrad, input.dim());
  check_rank(op, "grad_output", grad_output.dim(), input.dim());
  check_rank(op, "weight_size", int64_t(weight_size.size()), input.dim());
  check_types(op, input, "input", grad_output, "grad_output");
  checked([&] {
    check_weight_grad(conv_arguments<SymInt>(op, input.sym_sizes(), weight_size, stride, padding,
                                             dilation, groups),
                      grad_output.sym_sizes().vec());
  });
  return {empty(weight_size.vec(), input.options(), memory_format(input)),
          at::empty_symint({bias_grad ? weight_size[0] : SymInt(0)}, input.options())};
}

PoolArguments<SymInt> max_arguments(SymInts input, SymInts kernel, SymInts stride, SymInts padding,
                                    SymInts dilation, bool ceil_mode, SymInts output_size) {
  return pool_arguments<SymInt>(PoolKind::max, input, kernel, stride, padding, dilation, ceil_mode,
                                false, 0, output_size);
}
PoolArguments<SymInt> avg_arguments(SymInts input, SymInts kernel, SymInts stride, SymInts padding,
                                    bool ceil_mode, bool count_include_pad, SymInt divisor,
                                    SymInts output_size) {
  const std::vector<SymInt> dilation(kernel.size(), 1);
  return pool_arguments<SymInt>(PoolKind::avg, input, kernel, stride, padding, dilation, ceil_mode,
                                count_include_pad, divisor, output_size);
}
std::vector<SymInt> pooled(const PoolArguments<SymInt>& args) {
  return checked([&] { return pool_output_shape(args); });
}
// The dtype cannot be symbolic: traced sizes are held to one side of the limit.
at::ScalarType argmax_type_of(const PoolArguments<SymInt>& args) {
  return argmax_type(most_taps(args) <= kByteTaps ? 1 : kByteTaps + 1);
}

std::tuple<Tensor, Tensor> max_pool(const Tensor& input, SymInts kernel, SymInts stride,
                                    SymInts padding, SymInts dilation, bool ceil_mode,
                                    bool return_argmax, SymInts output_size) {
  const auto args =
      max_arguments(input.sym_sizes(), kernel, stride, padding, dilation, ceil_mode, output_size);
  check_types(args.op, input, "input", {}, "");
  const auto shape = pooled(args);
  const auto format = memory_format(input);
  const auto options = input.options();
  return {empty(shape, options, format),
          return_argmax ? empty(shape, options.dtype(argmax_type_of(args)), format)
                        : at::empty({0}, options.dtype(at::kByte))};
}

Tensor max_pool_grad(const Tensor& grad_output, const Tensor&, SymInts input_size, SymInts kernel,
                     SymInts stride, SymInts padding, SymInts dilation, bool ceil_mode,
                     SymInts output_size) {
  const auto args =
      max_arguments(input_size, kernel, stride, padding, dilation, ceil_mode, output_size);
  check_types(args.op, grad_output, "grad_output", {}, "");
  check_rank(args.op, "grad_output", grad_output.dim(), int64_t(input_size.size()));
  pooled(args);
  return empty(input_size.vec(), grad_output.options(), memory_format(grad_output));
}

Tensor max_pool_gather(const Tensor& input, const Tensor&, SymInts kernel, SymInts stride,
                       SymInts padding, SymInts dilation, bool ceil_mode, SymInts output_size) {
  const auto args =
      max_arguments(input.sym_sizes(), kernel, stride, padding, dilation, ceil_mode, output_size);
  check_types(args.op, input, "input", {}, "");
  return empty(pooled(args), input.options(), memory_format(input));
}

Tensor max_pool_indices(const Tensor& argmax, SymInts input_size, SymInts kernel, SymInts stride,
                        SymInts padding, SymInts dilation, bool ceil_mode, SymInts output_size) {
  const auto args =
      max_arguments(input_size, kernel, stride, padding, dilation, ceil_mode, output_size);
  return empty(pooled(args), argmax.options().dtype(at::kLong), memory_format(argmax));
}

Tensor avg_pool(const Tensor& input, SymInts kernel, SymInts stride, SymInts padding,
                bool ceil_mode, bool count_include_pad, SymInt divisor, SymInts output_size) {
  const auto args = avg_arguments(input.sym_sizes(), kernel, stride, padding, ceil_mode,
                                  count_include_pad, std::move(divisor), output_size);
  check_types(args.op, input, "input", {}, "");
  return empty(pooled(args), input.options(), memory_format(input));
}

Tensor avg_pool_grad(const Tensor& grad_output, SymInts input_size, SymInts kernel, SymInts stride,
                     SymInts padding, bool ceil_mode, bool count_include_pad, SymInt divisor,
                     SymInts output_size) {
  const auto args = avg_arguments(input_size, kernel, stride, padding, ceil_mode, count_include_pad,
                                  std::move(divisor), output_size);
  check_types(args.op, grad_output, "grad_output", {}, "");
  check_rank(args.op, "grad_output", grad_output.dim(), int64_t(input_size.size()));
  pooled(args);
  return empty(input_size.vec(), grad_output.options(), memory_format(grad_output));
}

TORCH_LIBRARY_IMPL(cnnkern, Meta, m) {
  m.impl("conv", conv);
  m.impl("conv_add", conv_add);
  m.impl("conv_input_grad", conv_input_grad);
  m.impl("conv_weight_grad", conv_weight_grad);
  m.impl("max_pool", max_pool);
  m.impl("max_pool_grad", max_pool_grad);
  m.impl("max_pool_gather", max_pool_gather);
  m.impl("max_pool_indices", max_pool_indices);
  m.impl("avg_pool", avg_pool);
  m.impl("avg_pool_grad", avg_pool_grad);
}

}  // namespace
}  // namespace cnnkern::ops
