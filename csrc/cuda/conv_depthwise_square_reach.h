// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "conv_depthwise_tiles.h"
#include "launch.h"

namespace cnnkern::cuda {

// What the steps [first, last) of one axis read of the source.
struct Reach {
  int begin, end;
};

template <int kStep, int kWindow>
__device__ Reach reach(const SquareAxis& a, int first, int last) {
  const int begin = first * kStep + a.lower, end = (last - 1) * kStep + a.lower + kWindow;
  return {min(max(begin, 0), a.sources), min(max(end, 0), a.sources)};
}

}  // namespace cnnkern::cuda
