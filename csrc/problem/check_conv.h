// SPDX-License-Identifier: BSD-3-Clause
// What a convolution and its gradients refuse, in every direction and for both kinds of sizes.
#pragma once
#include "check_lists.h"

namespace cnnkern {

template <class I>
struct ConvArguments {
  const char* op;  // what the user called
  int64_t rank;
  std::vector<I> input, weight;  // full shapes: (n, c, ...), (k, c / groups, ...)
  std::vector<I> stride;         // by axis
  std::vector<I> padding;        // before, after by axis
  std::vector<I> dilation;       // by axis
  I groups;
};

namespace detail {

template <class I>
void check_lists(const ConvArguments<I>& a) {
  check_rank(a.op, a.rank);
  check_length(a.op, "stride", a.stride, a.rank);
  check_length(a.op, "padding (before and after by axis)", a.padding, 2 * a.rank);
  check_length(a.op, "dilation", a.dilation, a.rank);
  check_least(a.op, "stride", a.stride, 1);
  check_least(a.op, "padding", a.padding, 0);
  check_least(a.op, "dilation", a.dilation, 1);
  if (a.groups < I(1)) fail(a.op, "expected groups >= 1, got ", a.groups);
}

template <class I>
void check_shapes(const ConvArguments<I>& a) {
  const size_t axes = static_cast<size_t>(a.rank) + 2;
  if (a.input.size() != axes) {
    fail(a.op, "expected input of shape ", input_axes(a.rank), ", got ", Tuple{a.input});
  }
  if (a.weight.size() != axes) {
    fail(a.op, "expected weight of shape ", weight_axes(a.rank), ", got ", Tuple{a.weight});
  }
  check_sizes(a.op, "input", a.input);
  check_sizes(a.op, "weight", a.weight);
  const I &c = a.input[1], &k = a.weight[0];
  if (c != c / a.groups * a.groups) {
    fail(a.op, "expected input channels C to be a multiple of groups, got C = ", c,
         "; groups = ", a.groups, ", weight of shape ", Tuple{a.weight});
  }
  if (c / a.groups != a.weight[1]) {
    fail(a.op, "expected weight of shape ", weight_axes(a.rank), " with C/groups = ", c / a.groups,
         ", got ", Tuple{a.weight}, "; C = ", c, ", groups = ", a.groups);
  }
  if (k < a.groups || k != k / a.groups * a.groups) {
    fail(a.op,
         "expected output channels K to be a positive multiple of groups, got weight of shape ",
         Tuple{a.weight}, "; K = ", k, ", groups = ", a.groups);
  }
  for (int64_t i = 0; i < a.rank; ++i) {
    if (a.weight[i + 2] < I(1)) {
      fail(a.op, "expected every kernel size to be >= 1, got weight of shape ", Tuple{a.weight});
    }
  }
}

// The shape of the output; `may_vanish` admits one of size 0, which only an empty transposed
// convolution has.
template <class I>
std::vector<I> output_shape(const ConvArguments<I>& a, bool may_vanish) {
  using W = Wide<I>;
  std::vector<I> shape{a.input[0], a.weight[0]};
  // torch's rule: no channels in, no channels out.
  if (a.input[1] == I(0)) shape[1] = I(0);
  for (int64_t i = 0; i < a.rank; ++i) {
    const I &input = a.input[i + 2], &kernel = a.weight[i + 2];
    const I &before = a.padding[2 * i], &after = a.padding[2 * i + 1];
    const W padded = W(input) + W(before) + W(after);
    if (!fits<I>(padded)) {
      fail(a.op, "padded input does not fit 64 bits on axis ", axis_name(a.rank, i),
           ": input size = ", input, ", padding = (", before, ", ", after, ")");
    }
    if (!may_vanish && padded < extent(kernel, a.dilation[i])) {
      fail(a.op, "expected dilation * (kernel - 1) + 1 <= padded input size on axis ",
           axis_name(a.rank, i), ", got kernel size = ", kernel, ", dilation = ", a.dilation[i],
           ", input size = ", input, ", padding = (", before, ", ", after, ")");
    }
    shape.push_back(conv_output_size<I>(input, kernel, a.stride[i], before, after, a.dilation[i]));
  }
  check_sizes(a.op, "output", shape);
  return shape;
}

template <class I>
void check_same(const char* op, const char* name, const std::vector<I>& got,
                const std::vector<I>& expected, const ConvArguments<I>& a) {
  bool same = got.size() == expected.size();
  for (size_t i = 0; same && i < got.size(); ++i) same = got[i] == expected[i];
  if (same) return;
  fail(op, "expected ", name, " of shape ", Tuple{expected}, ", got ", Tuple{got}, "; input size ",
       Tuple{a.input}, ", weight size ", Tuple{a.weight}, ", stride ", Tuple{a.stride},
       ", padding ", Tuple{a.padding}, ", dilation ", Tuple{a.dilation}, ", groups = ", a.groups);
}

}  // namespace detail

// (n, k, ...), after every check.
template <class I>
std::vector<I> conv_output_shape(const ConvArguments<I>& a) {
  detail::check_lists(a);
  detail::check_shapes(a);
  for (int64_t i = 0; i < a.rank; ++i) {
    // torch's rule: only a batch or channels may be empty.
    if (a.input[i + 2] == I(0) && a.input[0] != I(0) && a.input[1] != I(0)) {
      fail(a.op, "expected spatial sizes >= 1 where batch and channels are not empty, got input ",
           Tuple{a.input});
    }
  }
  return detail::output_shape(a, false);
}

// a.input is the size that the gradient shall have.
template <class I>
void check_input_grad(const ConvArguments<I>& a, const std::vector<I>& grad_output) {
  detail::check_lists(a);
  detail::check_shapes(a);
  const bool may_vanish = a.input[0] == I(0);
  detail::check_same(a.op, "grad_output", grad_output, detail::output_shape(a, may_vanish), a);
}

// a.weight is the size that the gradient shall have.
template <class I>
void check_weight_grad(const ConvArguments<I>& a, const std::vector<I>& grad_output) {
  detail::check_same(a.op, "grad_output", grad_output, conv_output_shape(a), a);
}

}  // namespace cnnkern
