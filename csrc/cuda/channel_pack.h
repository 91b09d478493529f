// SPDX-License-Identifier: BSD-3-Clause
// Copies in which channels lie side by side, each group of them filled up with zeros to a number
// that is moved in whole chunks: what tensor cores read where a tensor does not lie so already.
#pragma once
#include "../problem/types.h"
#include "tensors.h"

namespace cnnkern::cuda {

// Of a dense activation: [samples][pixels][groups][padded]; padded is a multiple of 4.
struct ChannelPack {
  DataType dtype;
  Format format;
  int64_t samples, pixels, groups, channels, padded;  // channels of one group

  int64_t elements() const { return samples * pixels * groups * padded; }
};
void pack_channels(const ChannelPack&, const void* from, void* to, Stream);

// Of filters: [groups][columns][taps][padded].
struct FilterPack {
  DataType dtype;
  int64_t groups, columns, channels, padded;  // of one group
  Extent taps;
  int64_t group_stride, column_stride, channel_stride, tap_stride[3];  // of what is read

  int64_t elements() const { return groups * columns * taps[0] * taps[1] * taps[2] * padded; }
};
void pack_filters(const FilterPack&, const void* from, void* to, Stream);

}  // namespace cnnkern::cuda
