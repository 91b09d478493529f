// SPDX-License-Identifier: BSD-3-Clause
#include "../cpu/conv.h"
#include "candidates.h"

namespace cnnkern {

namespace {

// Each loaded value meets only a few taps, so loads and not multiply-adds set the pace.
constexpr double kShare = 0.3, kWeightGradShare = 0.15;

std::string refuse(const ConvProblem& g, Direction) {
  if (g.groups != g.c) {
    return "C/groups is " + std::to_string(g.c / g.groups) +
           ", needs 1; C = " + std::to_string(g.c) + ", groups = " + std::to_string(g.groups);
  }
  if (g.c == 1) return "C is 1: one dense group, needs at least 2";
  return "";
}

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const double share = direction == Direction::weight_grad ? kWeightGradShare : kShare;
  return cost_of(work_of(g), 0, share, g.dtype, traits);
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::depthwise, traits.cores);
}

}  // namespace

const ConvCandidate conv_depthwise{Algorithm::depthwise, refuse, cost, workspace};

}  // namespace cnnkern
