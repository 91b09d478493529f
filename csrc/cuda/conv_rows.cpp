// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "conv_im2col.h"

namespace cnnkern::cuda {
namespace {

struct Range {
  int64_t first, last;  // none where last < first
};

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Outputs o of an axis with o * stride - pad <= last and o * stride - pad + span >= first.
Range reaching(const ConvProblem& g, int axis, Range inputs) {
  const int64_t stride = g.stride[axis], pad = g.pad_before[axis];
  const int64_t span = (g.kernel[axis] - 1) * g.dilation[axis];
  const int64_t first = -floor_div(-(inputs.first + pad - span), stride);
  return {std::max<int64_t>(0, first),
          std::min(g.output[axis] - 1, floor_div(inputs.last + pad, stride))};
}

}  // namespace

Rows rows_touching(const ConvProblem& g, int64_t n0, int64_t n1, int64_t h0, int64_t h1) {
  const int64_t height = g.input[1];
  const Range planes{h0 / height, (h1 - 1) / height};
  const bool one = planes.first == planes.last;
  const Range lines = one ? Range{h0 % height, (h1 - 1) % height} : Range{0, height - 1};
  const Range depths = reaching(g, 0, planes), heights = reaching(g, 1, lines);
  if (depths.last < depths.first || heights.last < heights.first) return {n0, n1, 0, 0};
  return {n0, n1, depths.first * g.output[1] + heights.first,
          depths.last * g.output[1] + heights.last + 1};
}

}  // namespace cnnkern::cuda
