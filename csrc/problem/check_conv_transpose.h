// SPDX-License-Identifier: BSD-3-Clause
// What a transposed convolution refuses, in the words of its caller: input (n, C, ...), weight
// (C, K/groups, ...). It runs as the input gradient of a convolution from K to C channels.
#pragma once
#include "check_conv.h"

namespace cnnkern {

// (n, K, ...): the input size of that convolution.
template <class I>
std::vector<I> conv_transpose_output_shape(const ConvArguments<I>& a,
                                           const std::vector<I>& output_padding) {
  detail::check_lists(a);
  detail::check_length(a.op, "output_padding", output_padding, a.rank);
  detail::check_least(a.op, "output_padding", output_padding, 0);
  const size_t axes = static_cast<size_t>(a.rank) + 2;
  const char* weight_axes = a.rank == 1   ? "(C, K/groups, S)"
                            : a.rank == 2 ? "(C, K/groups, R, S)"
                                          : "(C, K/groups, T, R, S)";
  if (a.input.size() != axes) {
    fail(a.op, "expected input of shape ", detail::input_axes(a.rank), ", got ", Tuple{a.input});
  }
  if (a.weight.size() != axes) {
    fail(a.op, "expected weight of shape ", weight_axes, ", got ", Tuple{a.weight});
  }
  detail::check_sizes(a.op, "input", a.input);
  detail::check_sizes(a.op, "weight", a.weight);
  const I &c = a.weight[0], &k = a.weight[1];
  if (a.input[1] != c) {
    fail(a.op, "expected weight of shape ", weight_axes, " with C = ", a.input[1], ", got ",
         Tuple{a.weight}, "; input ", Tuple{a.input});
  }
  if (c < a.groups || c != c / a.groups * a.groups) {
    fail(a.op, "expected input channels C to be a positive multiple of groups, got C = ", c,
         "; groups = ", a.groups);
  }
  if (k < I(1)) {
    fail(a.op, "expected at least one output channel a group, got weight of shape ",
         Tuple{a.weight});
  }
  using W = detail::Wide<I>;
  if (!detail::fits<I>(W(k) * W(a.groups))) {
    fail(a.op, "output channels do not fit 64 bits: K/groups = ", k, ", groups = ", a.groups);
  }
  std::vector<I> shape{a.input[0], k * a.groups};
  for (int64_t i = 0; i < a.rank; ++i) {
    const I &input = a.input[i + 2], &kernel = a.weight[i + 2], &more = output_padding[i];
    const I &before = a.padding[2 * i], &after = a.padding[2 * i + 1];
    const I &stride = a.stride[i], &dilation = a.dilation[i];
    const char axis = detail::axis_name(a.rank, i);
    if (input < I(1) && a.input[0] != I(0)) {
      fail(a.op, "expected spatial sizes >= 1 where the batch is not empty, got input ",
           Tuple{a.input});
    }
    if (kernel < I(1)) {
      fail(a.op, "expected every kernel size to be >= 1, got weight of shape ", Tuple{a.weight});
    }
    if (more >= stride && more >= dilation) {
      fail(a.op, "expected output_padding smaller than stride or dilation on axis ", axis,
           ", got output_padding = ", more, ", stride = ", stride, ", dilation = ", dilation);
    }
    const W size = (W(input) - W(1)) * W(stride) - W(before) - W(after) +
                   detail::extent(kernel, dilation) + W(more);
    if (size < W(0) || !detail::fits<I>(size + W(before) + W(after))) {
      fail(a.op, "expected an output size from 0 to 2^63 - 1 on axis ", axis,
           ", not so with input size = ", input, ", kernel size = ", kernel, ", stride = ", stride,
           ", padding = (", before, ", ", after, "), dilation = ", dilation,
           ", output_padding = ", more);
    }
    shape.push_back(detail::narrow<I>(size));
  }
  detail::check_sizes(a.op, "output", shape);
  return shape;
}

}  // namespace cnnkern
