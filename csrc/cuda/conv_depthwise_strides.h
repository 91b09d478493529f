// SPDX-License-Identifier: BSD-3-Clause
// Where the elements of a dense activation are.
#pragma once
#include "../problem/conv_problem.h"

namespace cnnkern::cuda {

template <class Index>
struct DenseStrides {
  Index n, c, d, h, w;

  DenseStrides() = default;
  DenseStrides(Format format, int64_t channels, const Extent& size) {
    const bool last = format == Format::channels_last;
    const int64_t pixel = last ? channels : 1;
    n = static_cast<Index>(channels * size[0] * size[1] * size[2]);
    c = static_cast<Index>(last ? 1 : size[0] * size[1] * size[2]);
    d = static_cast<Index>(size[1] * size[2] * pixel);
    h = static_cast<Index>(size[2] * pixel);
    w = static_cast<Index>(pixel);
  }
};

}  // namespace cnnkern::cuda
