// SPDX-License-Identifier: BSD-3-Clause
// Pools have one algorithm each; what differs is the arithmetic of a tap.
#include "candidates.h"

namespace cnnkern {

namespace {

// A comparison or an addition a tap, one value a lane, half of them loads.
constexpr double kShare = 0.2;

Cost cost(const PoolProblem& g, Direction direction, const DeviceTraits& traits) {
  return cost_of(work_of(g, direction), kShare, g.dtype, traits);
}

}  // namespace

const PoolCandidate max_pool{"direct", cost};
const PoolCandidate avg_pool{"direct", cost};

}  // namespace cnnkern
