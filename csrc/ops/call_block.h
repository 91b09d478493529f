// SPDX-License-Identifier: BSD-3-Clause
// A convolution block and its gradient as C++ functions that go through torch's dispatcher.
#pragma once
#include <array>

#include "call.h"

namespace cnnkern::ops {

struct BlockGeometry {
  ConvGeometry conv;
  PoolGeometry pool;
};

inline std::tuple<Tensor, Tensor> call_conv_block(const Tensor& input, const Tensor& weight,
                                                  const OptionalTensor& bias, bool relu,
                                                  bool return_argmax, const BlockGeometry& g) {
  static const auto op = find_operator<std::tuple<Tensor, Tensor>(
      const Tensor&, const Tensor&, const OptionalTensor&, SymInts, SymInts, SymInts, c10::SymInt,
      SymInts, SymInts, SymInts, SymInts, bool, bool, bool, std::string_view)>(
      "cnnkern::conv_block");
  const auto& [conv, pool] = g;
  return op.call(input, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups,
                 pool.kernel, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, relu,
                 return_argmax, conv.algorithm);
}

// What a block's gradient is computed from; `output` where a ReLU was fused.
struct BlockOperands {
  OptionalTensor input, weight, output;
  Tensor argmax;
  SymInts input_size, weight_size;
};

inline std::tuple<Tensor, Tensor, Tensor> call_conv_block_grad(const Tensor& grad_output,
                                                               const BlockOperands& of,
                                                               std::array<bool, 3> wanted,
                                                               const BlockGeometry& g) {
  static const auto op = find_operator<std::tuple<Tensor, Tensor, Tensor>(
      const Tensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&,
      const Tensor&, SymInts, SymInts, SymInts, SymInts, SymInts, c10::SymInt, SymInts, SymInts,
      SymInts, SymInts, bool, std::array<bool, 3>, std::string_view)>("cnnkern::conv_block_grad");
  const auto& [conv, pool] = g;
  return op.call(grad_output, of.input, of.weight, of.output, of.argmax, of.input_size,
                 of.weight_size, conv.stride, conv.padding, conv.dilation, conv.groups, pool.kernel,
                 pool.stride, pool.padding, pool.dilation, pool.ceil_mode, wanted, conv.algorithm);
}

}  // namespace cnnkern::ops
