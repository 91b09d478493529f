// SPDX-License-Identifier: BSD-3-Clause
// Shapes of convolution blocks without data: the real operators' checks for symbolic integers.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "conv_block_arguments.h"

namespace cnnkern::ops {
namespace {

using c10::SymInt;
using SymInts = c10::SymIntArrayRef;

// The dtype cannot be symbolic.
at::ScalarType taps_type(SymInts window) {
  SymInt taps = 1;
  for (const SymInt& side : window) taps = taps * side;
  return argmax_type(taps.guard_int(__FILE__, __LINE__));
}

std::tuple<Tensor, Tensor> conv_block(const Tensor& input, const Tensor& weight,
                                      const OptionalTensor& bias, SymInts stride, SymInts padding,
                                      SymInts dilation, SymInt groups, SymInts pool_size,
                                      SymInts pool_stride, SymInts pool_padding,
                                      SymInts pool_dilation, bool ceil_mode, bool,
                                      bool return_argmax, std::string_view) {
  const char* const op = user_name(kConvBlock, input.dim());
  check_rank(op, "weight", weight.dim(), input.dim());
  check_types(op, input, "input", weight, "weight");
  const auto args = block_arguments<SymInt>(op, input.sym_sizes(), weight.sym_sizes(),
                                            {stride, padding, dilation, groups, pool_size,
                                             pool_stride, pool_padding, pool_dilation, ceil_mode});
  check_bias<SymInt>(op, bias.value_or(Tensor()), input, args.pool.input[1]);
  const auto options = input.options().memory_format(memory_format(input));
  return {at::empty_symint(args.output, options),
          return_argmax ? at::empty_symint(args.output, options.dtype(taps_type(pool_size)))
                        : at::empty({0}, input.options().dtype(at::kByte))};
}

std::tuple<Tensor, Tensor, Tensor> conv_block_grad(
    const Tensor& grad_output, const OptionalTensor& input, const OptionalTensor& weight,
    const OptionalTensor& output, const Tensor& argmax, SymInts input_size, SymInts weight_size,
    SymInts stride, SymInts padding, SymInts dilation, SymInt groups, SymInts pool_size,
    SymInts pool_stride, SymInts pool_padding, SymInts pool_dilation, bool ceil_mode,
    std::array<bool, 3> wanted, std::string_view) {
  const char* const op = user_name(kConvBlockGrad, int64_t(input_size.size()));
  const auto args = block_arguments<SymInt>(op, input_size, weight_size,
                                            {stride, padding, dilation, groups, pool_size,
                                             pool_stride, pool_padding, pool_dilation, ceil_mode});
  check_block_grad<SymInt>(op, args, grad_output, input, weight, output, wanted);
  const auto options = grad_output.options();
  const auto empty = [&](bool asked, SymInts size) {
    return asked ? at::empty_symint(size, options.memory_format(memory_format(argmax)))
                 : at::empty({0}, options);
  };
  return {empty(wanted[0], input_size), empty(wanted[1], weight_size),
          at::empty_symint({wanted[2] ? weight_size[0] : SymInt(0)}, options)};
}

TORCH_LIBRARY_IMPL(cnnkern, Meta, m) {
  m.impl("conv_block", conv_block);
  m.impl("conv_block_grad", conv_block_grad);
}

}  // namespace
}  // namespace cnnkern::ops
