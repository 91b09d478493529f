// SPDX-License-Identifier: BSD-3-Clause
// Where a thread stands in a reduction: digits of a mixed base, w the fastest. It moves on by
// additions and carries alone.
#pragma once
#include <cuda_runtime.h>

namespace cnnkern::cuda {

template <class Index>
struct Place {
  Index outer, d, h, w;

  __device__ Place() : outer(0), d(0), h(0), w(0) {}
  __device__ Place(Index index, Index size_d, Index size_h, Index size_w) {
    w = index % size_w;
    index /= size_w;
    h = index % size_h;
    index /= size_h;
    d = index % size_d;
    outer = index / size_d;
  }

  // By a number of places, given digit by digit.
  __device__ void advance(const Place& by, Index size_d, Index size_h, Index size_w) {
    w += by.w;
    const bool carry_w = w >= size_w;
    w -= carry_w ? size_w : 0;
    h += by.h + carry_w;
    const bool carry_h = h >= size_h;
    h -= carry_h ? size_h : 0;
    d += by.d + carry_h;
    const bool carry_d = d >= size_d;
    d -= carry_d ? size_d : 0;
    outer += by.outer + carry_d;
  }
  // By one; past the last to the first of the next `block` outer places.
  __device__ void advance_block(Index block, Index size_d, Index size_h, Index size_w) {
    if (++w < size_w) return;
    w = 0;
    if (++h < size_h) return;
    h = 0;
    if (++d < size_d) return;
    d = 0;
    outer += block;
  }
};

}  // namespace cnnkern::cuda
