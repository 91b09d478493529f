// SPDX-License-Identifier: BSD-3-Clause
// The operators as C++ functions that go through torch's dispatcher.
#pragma once
#include <ATen/core/dispatch/Dispatcher.h>

#include <string_view>

#include "arguments.h"

namespace cnnkern::ops {

using SymInts = c10::SymIntArrayRef;

// Views of what the caller holds; a Node keeps a copy.
struct ConvGeometry {
  SymInts stride, padding, dilation;
  c10::SymInt groups;
  std::string_view algorithm;
  Border border = Border::zeros;
};
struct PoolGeometry {
  SymInts kernel, stride, padding, dilation;
  bool ceil_mode, count_include_pad = false;
  c10::SymInt divisor = 0;
  SymInts output_size{};  // of an adaptive pool, which has no other lists
};

template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

inline Tensor call_conv_border(const Tensor& input, const Tensor& weight,
                               const OptionalTensor& bias, bool relu, const ConvGeometry& g) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, SymInts, SymInts,
                           SymInts, c10::SymInt, bool, std::string_view, std::string_view)>(
          "cnnkern::conv_border");
  return op.call(input, weight, bias, g.stride, g.padding, g.dilation, g.groups, relu,
                 name_of(g.border), g.algorithm);
}
inline Tensor call_conv_border_input_grad(const Tensor& grad_output, const Tensor& weight,
                                          SymInts input_size, const ConvGeometry& g) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, SymInts, SymInts, SymInts, SymInts,
                           c10::SymInt, std::string_view, std::string_view)>(
          "cnnkern::conv_border_input_grad");
  return op.call(grad_output, weight, input_size, g.stride, g.padding, g.dilation, g.groups,
                 name_of(g.border), g.algorithm);
}
inline std::tuple<Tensor, Tensor> call_conv_border_weight_grad(const Tensor& grad_output,
                                                               const Tensor& input,
                                                               SymInts weight_size, bool bias_grad,
                                                               const ConvGeometry& g) {
  static const auto op = find_operator<std::tuple<Tensor, Tensor>(
      const Tensor&, const Tensor&, SymInts, SymInts, SymInts, SymInts, c10::SymInt, bool,
      std::string_view, std::string_view)>("cnnkern::conv_border_weight_grad");
  return op.call(grad_output, input, weight_size, g.stride, g.padding, g.dilation, g.groups,
                 bias_grad, name_of(g.border), g.algorithm);
}

// Each of the three is its border's own; a bias or ReLU of an input gradient has none.
inline Tensor call_conv(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                        bool relu, const ConvGeometry& g) {
  if (g.border != Border::zeros) return call_conv_border(input, weight, bias, relu, g);
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, SymInts, SymInts,
                           SymInts, c10::SymInt, bool, std::string_view)>("cnnkern::conv");
  return op.call(input, weight, bias, g.stride, g.padding, g.dilation, g.groups, relu, g.algorithm);
}
inline Tensor call_conv_add(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                            const Tensor& residual, bool relu, const ConvGeometry& g) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, const Tensor&,
                           SymInts, SymInts, SymInts, c10::SymInt, bool, std::string_view)>(
          "cnnkern::conv_add");
  return op.call(input, weight, bias, residual, g.stride, g.padding, g.dilation, g.groups, relu,
                 g.algorithm);
}
inline Tensor call_conv_input_grad(const Tensor& grad_output, const Tensor& weight,
                                   const OptionalTensor& bias, SymInts input_size, bool relu,
                                   const ConvGeometry& g) {
  if (g.border != Border::zeros)
    return call_conv_border_input_grad(grad_output, weight, input_size, g);
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, SymInts, SymInts,
                           SymInts, SymInts, c10::SymInt, bool, std::string_view)>(
          "cnnkern::conv_input_grad");
  return op.call(grad_output, weight, bias, input_size, g.stride, g.padding, g.dilation, g.groups,
                 relu, g.algorithm);
}
inline std::tuple<Tensor, Tensor> call_conv_weight_grad(const Tensor& grad_output,
                                                        const Tensor& input, SymInts weight_size,
                                                        bool bias_grad, const ConvGeometry& g) {
  if (g.border != Border::zeros)
    return call_conv_border_weight_grad(grad_output, input, weight_size, bias_grad, g);
  static const auto op = find_operator<std::tuple<Tensor, Tensor>(
      const Tensor&, const Tensor&, SymInts, SymInts, SymInts, SymInts, c10::SymInt, bool,
      std::string_view)>("cnnkern::conv_weight_grad");
  return op.call(grad_output, input, weight_size, g.stride, g.padding, g.dilation, g.groups,
                 bias_grad, g.algorithm);
}

inline std::tuple<Tensor, Tensor> call_max_pool(const Tensor& input, bool return_argmax,
                                                const PoolGeometry& g) {
  static const auto op = find_operator<std::tuple<Tensor, Tensor>(
      const Tensor&, SymInts, SymInts, SymInts, SymInts, bool, bool, SymInts)>("cnnkern::max_pool");
  return op.call(input, g.kernel, g.stride, g.padding, g.dilation, g.ceil_mode, return_argmax,
                 g.output_size);
}
inline Tensor call_max_pool_grad(const Tensor& grad_output, const Tensor& argmax,
                                 SymInts input_size, const PoolGeometry& g) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, SymInts, SymInts, SymInts, SymInts,
                           SymInts, bool, SymInts)>("cnnkern::max_pool_grad");
  return op.call(grad_output, argmax, input_size, g.kernel, g.stride, g.padding, g.dilation,
                 g.ceil_mode, g.output_size);
}
inline Tensor call_max_pool_gather(const Tensor& input, const Tensor& argmax,
                                   const PoolGeometry& g) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, SymInts, SymInts, SymInts, SymInts, bool,
                           SymInts)>("cnnkern::max_pool_gather");
  return op.call(input, argmax, g.kernel, g.stride, g.padding, g.dilation, g.ceil_mode,
                 g.output_size);
}
inline Tensor call_avg_pool(const Tensor& input, const PoolGeometry& g) {
  static const auto op = find_operator<Tensor(const Tensor&, SymInts, SymInts, SymInts, bool, bool,
                                              c10::SymInt, SymInts)>("cnnkern::avg_pool");
  return op.call(input, g.kernel, g.stride, g.padding, g.ceil_mode, g.count_include_pad, g.divisor,
                 g.output_size);
}
inline Tensor call_avg_pool_grad(const Tensor& grad_output, SymInts input_size,
                                 const PoolGeometry& g) {
  static const auto op =
      find_operator<Tensor(const Tensor&, SymInts, SymInts, SymInts, SymInts, bool, bool,
                           c10::SymInt, SymInts)>("cnnkern::avg_pool_grad");
  return op.call(grad_output, input_size, g.kernel, g.stride, g.padding, g.ceil_mode,
                 g.count_include_pad, g.divisor, g.output_size);
}

inline Tensor call_max_unpool(const Tensor& input, const Tensor& indices, SymInts output_size) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, SymInts)>("cnnkern::max_unpool");
  return op.call(input, indices, output_size);
}
inline Tensor call_max_unpool_grad(const Tensor& grad_output, const Tensor& indices) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&)>("cnnkern::max_unpool_grad");
  return op.call(grad_output, indices);
}

}  // namespace cnnkern::ops
