// SPDX-License-Identifier: BSD-3-Clause
// What a convolution block is given: a convolution, and the max pool over what it makes.
#pragma once
#include "arguments.h"

namespace cnnkern::ops {

constexpr const char* kConvBlock[] = {"conv_block1d", "conv_block2d", "conv_block3d"};
constexpr const char* kConvBlockPool[] = {"conv_block1d pool", "conv_block2d pool",
                                          "conv_block3d pool"};
constexpr const char* kConvBlockGrad[] = {"conv_block1d gradient", "conv_block2d gradient",
                                          "conv_block3d gradient"};

// The lists of both halves, as the operators' schemas order them.
template <class I>
struct BlockLists {
  List<I> stride, padding, dilation;
  I groups;
  List<I> pool_size, pool_stride, pool_padding, pool_dilation;
  bool ceil_mode;
};

template <class I>
struct BlockArguments {
  ConvArguments<I> conv;
  PoolArguments<I> pool;  // pool.input: the shape that the convolution makes
  std::vector<I> output;
};

// After every check.
template <class I>
BlockArguments<I> block_arguments(const char* op, List<I> input, List<I> weight,
                                  const BlockLists<I>& lists) {
  const int64_t dim = int64_t(input.size());
  check_rank(op, "input", dim, dim);
  check_rank(op, "weight", int64_t(weight.size()), dim);
  BlockArguments<I> a{conv_arguments<I>(op, input, weight, lists.stride, lists.padding,
                                        lists.dilation, lists.groups),
                      {},
                      {}};
  const std::vector<I> between = checked([&] { return conv_output_shape(a.conv); });
  a.pool = pool_arguments<I>(PoolKind::max, between, lists.pool_size, lists.pool_stride,
                             lists.pool_padding, lists.pool_dilation, lists.ceil_mode, false, 0);
  a.pool.op = user_name(kConvBlockPool, dim);
  a.output = checked([&] { return pool_output_shape(a.pool); });
  return a;
}

// The operands of a gradient of a block: those that what is asked for needs, and the result that
// masks a fused ReLU's gradient.
template <class I>
void check_block_grad(const char* op, const BlockArguments<I>& a, const Tensor& grad_output,
                      const OptionalTensor& input, const OptionalTensor& weight,
                      const OptionalTensor& output, const std::array<bool, 3>& wanted) {
  check_types(op, grad_output, "grad_output", {}, "");
  const auto same = [&](const char* name, const OptionalTensor& t, List<I> expected) {
    if (!t.has_value()) return;
    if (t->scalar_type() != grad_output.scalar_type() || t->device() != grad_output.device())
      check_types(op, grad_output, "grad_output", *t, name);
    TORCH_CHECK(sizes_of<I>(*t) == expected, op, ": expected ", name, " of shape ", expected,
                ", got ", sizes_of<I>(*t));
  };
  same("grad_output", grad_output, a.output);
  same("input", input, a.conv.input);
  same("weight", weight, a.conv.weight);
  same("output", output, a.output);
  TORCH_CHECK(weight.has_value() || !wanted[0], op, ": expected weight for the input's gradient");
  TORCH_CHECK(input.has_value() || !wanted[1], op, ": expected input for the weight's gradient");
}

}  // namespace cnnkern::ops
