// SPDX-License-Identifier: BSD-3-Clause
// What a pooling and its gradients refuse, for both kinds of sizes.
#pragma once
#include "check_lists.h"
#include "pool_problem.h"

namespace cnnkern {

template <class I>
struct PoolArguments {
  const char* op;  // what the user called
  int64_t rank;
  PoolKind kind;
  std::vector<I> input;           // full shape: (n, c, ...)
  std::vector<I> kernel, stride;  // by axis
  std::vector<I> padding;         // before, after by axis
  std::vector<I> dilation;        // by axis
  bool ceil_mode, count_include_pad;
  I divisor;  // average: 0, or what every sum is divided by
  // By axis, of an adaptive pool, which has no other lists; else empty.
  std::vector<I> output_size{};

  bool adaptive() const { return !output_size.empty(); }
};

namespace detail {

// Windows are counted in 32 bits by torch; a larger one is an accident there and here.
constexpr int64_t kLargestWindow = std::numeric_limits<int32_t>::max();

template <class I>
void check_most(const char* op, const char* name, const std::vector<I>& values) {
  for (const I& value : values) {
    if (value > I(kLargestWindow)) {
      fail(op, "expected ", name, " <= ", kLargestWindow, ", got ", Tuple{values});
    }
  }
}

template <class I>
void check_lists(const PoolArguments<I>& a) {
  check_rank(a.op, a.rank);
  if (a.adaptive()) {
    check_length(a.op, "output_size", a.output_size, a.rank);
    check_length(a.op, "kernel_size (of an adaptive pool)", a.kernel, 0);
    check_length(a.op, "stride (of an adaptive pool)", a.stride, 0);
    check_length(a.op, "padding (of an adaptive pool)", a.padding, 0);
    check_length(a.op, "dilation (of an adaptive pool)", a.dilation, 0);
    check_least(a.op, "output_size", a.output_size, 0);
    if (a.ceil_mode) fail(a.op, "expected ceil_mode to be false in an adaptive pool, got true");
    if (a.divisor != I(0)) fail(a.op, "expected no divisor in an adaptive pool, got ", a.divisor);
    return;
  }
  check_length(a.op, "kernel_size", a.kernel, a.rank);
  check_length(a.op, "stride", a.stride, a.rank);
  check_length(a.op, "padding (before and after by axis)", a.padding, 2 * a.rank);
  check_length(a.op, "dilation", a.dilation, a.rank);
  check_least(a.op, "kernel_size", a.kernel, 1);
  check_least(a.op, "stride", a.stride, 1);
  check_least(a.op, "padding", a.padding, 0);
  check_least(a.op, "dilation", a.dilation, 1);
  check_most(a.op, "kernel_size", a.kernel);
  check_most(a.op, "stride", a.stride);
  check_most(a.op, "dilation", a.dilation);
  if (a.kind == PoolKind::max) check_count(a.op, "window", a.kernel);
}

template <class I>
void check_shapes(const PoolArguments<I>& a) {
  if (a.input.size() != static_cast<size_t>(a.rank) + 2) {
    fail(a.op, "expected input of shape ", input_axes(a.rank), ", got ", Tuple{a.input});
  }
  // torch's adaptive averages over one or two axes take no channels at all.
  const bool channels = !a.adaptive() || a.kind == PoolKind::max || a.rank == 3;
  for (size_t i = channels ? 1 : 2; i < a.input.size(); ++i) {
    if (a.input[i] < I(1)) {
      fail(a.op, "expected every size of input but the batch ", channels ? "" : "and the channels ",
           "to be >= 1, got ", Tuple{a.input});
    }
  }
  check_sizes(a.op, "input", a.input);
}

// Windows begin at products of both sizes, over one of them.
template <class I>
void check_parts(const PoolArguments<I>& a) {
  if constexpr (std::is_same_v<I, int64_t>) {
    for (int64_t i = 0; i < a.rank; ++i) {
      int64_t product = 8;
      if (__builtin_mul_overflow(product, a.input[i + 2], &product) ||
          __builtin_mul_overflow(product, a.output_size[i], &product)) {
        fail(a.op, "expected input size * output size < 2^60 on axis ", axis_name(a.rank, i),
             ", got ", a.input[i + 2], " * ", a.output_size[i]);
      }
    }
  }
}

}  // namespace detail

// (n, c, ...), after every check.
template <class I>
std::vector<I> pool_output_shape(const PoolArguments<I>& a) {
  detail::check_lists(a);
  detail::check_shapes(a);
  std::vector<I> shape{a.input[0], a.input[1]};
  if (a.adaptive()) {
    shape.insert(shape.end(), a.output_size.begin(), a.output_size.end());
    detail::check_sizes(a.op, "output", shape);
    detail::check_parts(a);
    return shape;
  }
  for (int64_t i = 0; i < a.rank; ++i) {
    const I &input = a.input[i + 2], &kernel = a.kernel[i];
    const I &before = a.padding[2 * i], &after = a.padding[2 * i + 1];
    const auto window = detail::extent(kernel, a.dilation[i]);
    const char axis = detail::axis_name(a.rank, i);
    if (window > detail::Wide<I>(detail::kLargestWindow)) {
      fail(a.op, "expected dilation * (kernel - 1) + 1 <= ", detail::kLargestWindow, " on axis ",
           axis, ", got kernel_size = ", kernel, ", dilation = ", a.dilation[i]);
    }
    const I half = static_cast<I>(window) / I(2);
    if (before > half || after > half) {
      fail(a.op, "expected padding of at most half the effective kernel size, ", half, " on axis ",
           axis, ", got (", before, ", ", after, "); kernel_size = ", kernel,
           ", dilation = ", a.dilation[i]);
    }
    shape.push_back(
        pool_output_size<I>(input, kernel, a.stride[i], before, after, a.dilation[i], a.ceil_mode));
    if (shape.back() < I(1)) {
      fail(a.op, "expected an output size >= 1 on axis ", axis, ", got ", shape.back(),
           ": input size = ", input, ", padding = (", before, ", ", after,
           "), kernel_size = ", kernel, ", dilation = ", a.dilation[i], ", stride = ", a.stride[i]);
    }
  }
  detail::check_sizes(a.op, "output", shape);
  return shape;
}

// The taps of the largest window, which an argmax counts.
template <class I>
I most_taps(const PoolArguments<I>& a) {
  I taps = 1;
  for (const I& side : a.kernel) taps = taps * side;
  for (size_t i = 0; i < a.output_size.size(); ++i) {
    // No output has no window.
    if (a.output_size[i] == I(0)) return I(1);
    taps = taps * adaptive_kernel<I>(a.input[i + 2], a.output_size[i]);
  }
  return taps;
}

}  // namespace cnnkern
