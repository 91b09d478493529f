// SPDX-License-Identifier: BSD-3-Clause
// Output sizes of one axis: the same arithmetic for real sizes (int64_t) and for traced ones
// (c10::SymInt). All of them expect stride >= 1; check.h says which other values are refused.
#pragma once
#include <cstdint>
#include <limits>
#include <type_traits>

#include "error.h"

namespace cnnkern {

namespace detail {

__extension__ typedef __int128 int128;

// What I is computed in: twice as wide where values may be huge; a traced size has no such limit.
template <class I>
using Wide = std::conditional_t<std::is_same_v<I, int64_t>, int128, I>;

template <class I>
bool fits(const Wide<I>& value) {
  if constexpr (std::is_same_v<I, int64_t>) {
    return value >= std::numeric_limits<int64_t>::min() &&
           value <= std::numeric_limits<int64_t>::max();
  } else {
    return true;
  }
}

template <class I>
I narrow(const Wide<I>& value) {
  if (!fits<I>(value)) throw Error("an output size does not fit 64 bits");
  return static_cast<I>(value);
}

template <class W>
W floor_divide(const W& a, const W& b) {
  if (a >= W(0)) return a / b;
  return W(0) - (b - a - W(1)) / b;
}

// How far a dilated kernel reaches.
template <class I>
Wide<I> extent(const I& kernel, const I& dilation) {
  using W = Wide<I>;
  return W(dilation) * (W(kernel) - W(1)) + W(1);
}

}  // namespace detail

// At most 0 where the kernel is larger than the padded input.
template <class I>
I conv_output_size(I input, I kernel, I stride, I pad_before, I pad_after, I dilation) {
  using W = detail::Wide<I>;
  const W room = W(input) + W(pad_before) + W(pad_after) - detail::extent(kernel, dilation);
  return detail::narrow<I>(detail::floor_divide(room, W(stride)) + W(1));
}

// Rounds up in ceil mode, unless the last window would begin in the padding after the input.
template <class I>
I pool_output_size(I input, I kernel, I stride, I pad_before, I pad_after, I dilation,
                   bool ceil_mode) {
  using W = detail::Wide<I>;
  W room = W(input) + W(pad_before) + W(pad_after) - detail::extent(kernel, dilation);
  if (!ceil_mode) return detail::narrow<I>(detail::floor_divide(room, W(stride)) + W(1));
  const W last = detail::floor_divide(W(room + W(stride) - W(1)), W(stride));
  if (last * W(stride) >= W(input) + W(pad_before)) return detail::narrow<I>(last);
  return detail::narrow<I>(last + W(1));
}

// The largest of the windows [floor(p n / P), ceil((p + 1) n / P)) that cut an axis of n = input
// positions into P = output parts: n / P where that is whole, else one or two more. Without a
// branch, so that a traced size stays one.
template <class I>
I adaptive_kernel(I input, I output) {
  const I rest = input % output;
  const I all = (input + output - I(1)) / output;
  if constexpr (std::is_same_v<I, int64_t>) {
    return all + (rest > 1 && output % rest != 0 ? 1 : 0);
  } else {
    return all + (output % rest.max(I(1))).min(I(1));
  }
}

// The input size of the convolution whose input gradient the transposed convolution is.
template <class I>
I conv_transpose_output_size(I input, I kernel, I stride, I pad_before, I pad_after, I dilation,
                             I output_padding) {
  using W = detail::Wide<I>;
  return detail::narrow<I>((W(input) - W(1)) * W(stride) - W(pad_before) - W(pad_after) +
                           detail::extent(kernel, dilation) + W(output_padding));
}

// How much padding makes ceil(input / stride) outputs, before and after together; the odd one goes
// after.
template <class I>
I same_padding(I input, I kernel, I stride, I dilation) {
  using W = detail::Wide<I>;
  const W last = detail::floor_divide(W(W(input) + W(stride) - W(1)), W(stride)) - W(1);
  const W total = last * W(stride) + detail::extent(kernel, dilation) - W(input);
  return total > W(0) ? detail::narrow<I>(total) : I(0);
}

}  // namespace cnnkern
