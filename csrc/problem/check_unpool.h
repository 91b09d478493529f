// SPDX-License-Identifier: BSD-3-Clause
// What a max unpooling and its gradient refuse, for both kinds of sizes.
#pragma once
#include <algorithm>

#include "check_lists.h"

namespace cnnkern {

// (n, c, ...), after every check; output_size holds one value an axis.
template <class I>
std::vector<I> unpool_output_shape(const char* op, const std::vector<I>& input,
                                   const std::vector<I>& indices,
                                   const std::vector<I>& output_size) {
  const int64_t rank = static_cast<int64_t>(input.size()) - 2;
  detail::check_rank(op, rank);
  detail::check_length(op, "output_size", output_size, rank);
  detail::check_least(op, "output_size", output_size, 0);
  for (size_t i = 1; i < input.size(); ++i) {
    if (input[i] < I(1)) {
      fail(op, "expected every size of input but the batch to be >= 1, got ", Tuple{input});
    }
  }
  if (indices.size() != input.size() ||
      !std::equal(input.begin(), input.end(), indices.begin(),
                  [](const I& a, const I& b) { return !(a != b); })) {
    fail(op, "expected indices of the shape of input, ", Tuple{input}, ", got ", Tuple{indices});
  }
  detail::check_sizes(op, "input", input);
  std::vector<I> shape{input[0], input[1]};
  shape.insert(shape.end(), output_size.begin(), output_size.end());
  detail::check_sizes(op, "output", shape);
  return shape;
}

// grad_output has the shape that output_shape would have with its own spatial sizes.
template <class I>
void check_unpool_grad(const char* op, const std::vector<I>& grad_output,
                       const std::vector<I>& indices) {
  const std::vector<I> expected = unpool_output_shape<I>(
      op, indices, indices, std::vector<I>(grad_output.begin() + 2, grad_output.end()));
  for (size_t i = 0; i < 2; ++i) {
    if (grad_output[i] != expected[i]) {
      fail(op, "expected grad_output of shape ", Tuple{expected}, ", got ", Tuple{grad_output});
    }
  }
}

}  // namespace cnnkern
