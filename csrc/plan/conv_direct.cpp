// SPDX-License-Identifier: BSD-3-Clause
#include "../cpu/conv.h"
#include "candidates.h"

namespace cnnkern {

namespace {

// Register tiles reach this share of the multiply-add rate on layers that fill them; the weight
// gradient also transposes what it reads.
constexpr double kShare = 0.75, kWeightGradShare = 0.6;

std::string refuse(const ConvProblem&, Direction) { return ""; }

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const double share = direction == Direction::weight_grad ? kWeightGradShare : kShare;
  return cost_of(work_of(g), 0, share, g.dtype, traits);
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::direct, traits.cores);
}

}  // namespace

const ConvCandidate conv_direct{Algorithm::direct, refuse, cost, workspace};

}  // namespace cnnkern
