// SPDX-License-Identifier: BSD-3-Clause
// From checked arguments to problems of three axes.
#include <algorithm>

#include "check.h"

namespace cnnkern {

namespace {

// The last `rank` axes of an extent, the leading ones filled.
Extent extent_of(const std::vector<int64_t>& values, int64_t rank, int64_t offset, int64_t step,
                 int64_t filler) {
  Extent extent{filler, filler, filler};
  for (int64_t i = 0; i < rank; ++i) extent[3 - rank + i] = values[offset + i * step];
  return extent;
}

// A stride beyond both input and window makes one output, as any larger one would; a kernel of one
// tap ignores its dilation.
template <class Problem>
void clamp(Problem& g) {
  for (size_t i = 0; i < 3; ++i) {
    const int64_t padded = std::max<int64_t>(g.input[i] + g.pad_before[i] + g.pad_after[i], 1);
    if (g.kernel[i] == 1) g.dilation[i] = std::min(g.dilation[i], padded);
    const auto window = detail::extent(g.kernel[i], g.dilation[i]);
    if (window < g.stride[i]) {
      g.stride[i] = std::min(g.stride[i], std::max(padded, static_cast<int64_t>(window)));
    }
  }
}

}  // namespace

ConvProblem make_problem(const ConvArguments<int64_t>& a, DataType dtype, Format format, bool bias,
                         bool relu, bool transposed) {
  ConvProblem g{};
  g.rank = a.rank;
  g.n = a.input[0];
  g.c = a.input[1];
  g.k = a.weight[0];
  g.groups = a.groups;
  g.input = extent_of(a.input, a.rank, 2, 1, 1);
  g.kernel = extent_of(a.weight, a.rank, 2, 1, 1);
  g.stride = extent_of(a.stride, a.rank, 0, 1, 1);
  g.pad_before = extent_of(a.padding, a.rank, 0, 2, 0);
  g.pad_after = extent_of(a.padding, a.rank, 1, 2, 0);
  g.dilation = extent_of(a.dilation, a.rank, 0, 1, 1);
  for (size_t i = 0; i < 3; ++i) {
    g.output[i] = conv_output_size<int64_t>(g.input[i], g.kernel[i], g.stride[i], g.pad_before[i],
                                            g.pad_after[i], g.dilation[i]);
  }
  g.dtype = dtype;
  g.format = format;
  g.bias = bias;
  g.relu = relu;
  g.transposed = transposed;
  clamp(g);
  return g;
}

namespace {

// Parts of equal sizes are windows that slide by their own size.
void cut(PoolProblem& g, const std::vector<int64_t>& output_size) {
  g.output = extent_of(output_size, g.rank, 0, 1, 1);
  g.kernel = g.stride = g.dilation = {1, 1, 1};
  for (size_t i = 0; i < 3; ++i) {
    if (g.output[i] == 0) continue;
    g.kernel[i] = adaptive_kernel(g.input[i], g.output[i]);
    g.uneven[i] = g.input[i] % g.output[i] != 0;
    if (!g.uneven[i]) g.stride[i] = g.kernel[i];
  }
}

}  // namespace

PoolProblem make_problem(const PoolArguments<int64_t>& a, DataType dtype, Format format) {
  PoolProblem g{};
  g.kind = a.kind;
  g.rank = a.rank;
  g.n = a.input[0];
  g.c = a.input[1];
  g.input = extent_of(a.input, a.rank, 2, 1, 1);
  g.dtype = dtype;
  g.format = format;
  g.ceil_mode = a.ceil_mode;
  g.count_include_pad = a.count_include_pad;
  g.divisor = a.divisor;
  g.adaptive = a.adaptive();
  if (g.adaptive) {
    cut(g, a.output_size);
    return g;
  }
  g.kernel = extent_of(a.kernel, a.rank, 0, 1, 1);
  g.stride = extent_of(a.stride, a.rank, 0, 1, 1);
  g.pad_before = extent_of(a.padding, a.rank, 0, 2, 0);
  g.pad_after = extent_of(a.padding, a.rank, 1, 2, 0);
  g.dilation = extent_of(a.dilation, a.rank, 0, 1, 1);
  for (size_t i = 0; i < 3; ++i) {
    g.output[i] = pool_output_size<int64_t>(g.input[i], g.kernel[i], g.stride[i], g.pad_before[i],
                                            g.pad_after[i], g.dilation[i], a.ceil_mode);
  }
  clamp(g);
  return g;
}

}  // namespace cnnkern
