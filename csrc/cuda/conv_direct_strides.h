// SPDX-License-Identifier: BSD-3-Clause
// Strides of dense activations, and whether strided filters are in reach of int32 offsets.
#pragma once
#include <algorithm>

#include "../problem/conv_problem.h"
#include "sizes.h"
#include "tensors.h"
#include "wide.h"

namespace cnnkern::cuda {

template <class Index>
void set_strides(Format format, int64_t channels, const Extent& size, Index& sample, Index& channel,
                 Index (&axis)[3]) {
  const int64_t pixel = format == Format::channels_last ? channels : 1;
  channel = static_cast<Index>(format == Format::channels_last ? 1 : volume(size));
  axis[2] = static_cast<Index>(pixel);
  axis[1] = static_cast<Index>(pixel * size[2]);
  axis[0] = static_cast<Index>(pixel * size[2] * size[1]);
  sample = static_cast<Index>(channels * volume(size));
}

inline bool weights_fit_int32(const ConvProblem& g, const WeightView& w) {
  const int64_t size[5] = {g.k, g.c / g.groups, g.kernel[0], g.kernel[1], g.kernel[2]};
  int64_t span = 1;
  for (size_t i = 0; i < 5; ++i) {
    if (size[i] == 1) continue;
    const int64_t reach = std::max(w.stride[i], -w.stride[i]);
    if (!fits_int32({reach, size[i]})) return false;
    span += reach * (size[i] - 1);
  }
  return fits_int32({span});
}

}  // namespace cnnkern::cuda
