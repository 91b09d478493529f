// SPDX-License-Identifier: BSD-3-Clause
// What the convolutions' register tiles make of the multiply-add rate.
#pragma once
#include "cost.h"

namespace cnnkern {

// Values of a vector of the type that sums are computed in.
int64_t lanes_of(DataType, const DeviceTraits&);
// The lanes that are in use where vectors hold the filters of a group; its channels, for an input
// gradient.
double filters_fill(const ConvProblem&, Direction, const DeviceTraits&);
// Full tiles with long sums reach the most; lanes that are not in use and the short sums of few
// taps cost the rest.
double tile_share(const ConvProblem&, Direction, double fill);

}  // namespace cnnkern
