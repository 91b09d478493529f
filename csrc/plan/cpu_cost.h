// SPDX-License-Identifier: BSD-3-Clause
// What the convolutions' register tiles make of the multiply-add rate.
#pragma once
#include "cost.h"

namespace cnnkern {

// Full tiles with long sums reach the most; the lanes that a group leaves empty and the short sums
// of few taps cost the rest.
double tile_share(const ConvProblem&, Direction, const DeviceTraits&);

}  // namespace cnnkern
