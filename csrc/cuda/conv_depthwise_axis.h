// SPDX-License-Identifier: BSD-3-Clause
// One axis of a depthwise gather. A result position meets a first tap at a first source position;
// the taps after it come in even steps, and so do their source positions:
//   forward:        taps 0, 1, ...             at o * stride - pad + tap * dilation
//   input gradient: taps r0, r0 + every, ...   at (o + pad - tap * dilation) / stride
// with every = stride / gcd(stride, dilation) and r0 the first tap that makes the division exact.
#pragma once
#include <numeric>

#include "../problem/conv_problem.h"
#include "index.h"

namespace cnnkern::cuda {

template <class Index>
struct DepthwiseAxis {
  Index results, sources, taps;
  Index pad, dilation;
  Index every, advance;  // from one tap to the next: in the filter, in the source
  Divisor<Index> stride;

  DepthwiseAxis() = default;
  DepthwiseAxis(const ConvProblem& g, size_t axis, bool adjoint)
      : results(static_cast<Index>(adjoint ? g.input[axis] : g.output[axis])),
        sources(static_cast<Index>(adjoint ? g.output[axis] : g.input[axis])),
        taps(static_cast<Index>(g.kernel[axis])),
        pad(static_cast<Index>(g.pad_before[axis])),
        dilation(static_cast<Index>(g.dilation[axis])),
        stride(g.stride[axis]) {
    const int64_t common = adjoint ? std::gcd(g.stride[axis], g.dilation[axis]) : 1;
    every = static_cast<Index>(adjoint ? g.stride[axis] / common : 1);
    advance = static_cast<Index>(adjoint ? -(g.dilation[axis] / common) : g.dilation[axis]);
  }

  struct Start {
    Index tap, source;
  };
  __device__ Start start(Index o, bool adjoint) const {
    if (!adjoint) return {0, o * stride.d - pad};
    Index residue = o + pad;
    const Index quotient = split(residue, stride);
    const Index candidates = every < taps ? every : taps;
    Index tap = 0, reach = 0,
          ahead = 0;  // reach = tap * dilation, ahead = what it needs of residue
    while (ahead != residue && tap < candidates) {
      ++tap;
      reach += dilation;
      ahead = reach;
      split(ahead, stride);
    }
    if (tap == candidates && ahead != residue) return {taps, 0};
    return {tap, quotient - stride.divide(reach - residue)};
  }
};

}  // namespace cnnkern::cuda
