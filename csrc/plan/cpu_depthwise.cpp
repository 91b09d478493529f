// SPDX-License-Identifier: BSD-3-Clause
#include "../cpu/conv.h"
#include "candidates.h"
#include "cpu_cost.h"

namespace cnnkern {

std::string refuse_unless_depthwise(const ConvProblem& g) {
  if (g.groups != g.c) {
    return "C/groups is " + std::to_string(g.c / g.groups) +
           ", needs 1; C = " + std::to_string(g.c) + ", groups = " + std::to_string(g.groups);
  }
  if (g.c == 1) return "C is 1: one dense group, needs at least 2";
  return "";
}

namespace {

std::string refuse(const ConvProblem& g, Direction) { return refuse_unless_depthwise(g); }

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cost_of(work_of(g), tile_share(g, direction, filters_fill(g, direction, traits)), g.dtype,
                 traits);
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::depthwise, traits.cores);
}

}  // namespace

const ConvCandidate cpu_depthwise{Algorithm::depthwise, true, refuse, cost, workspace};

}  // namespace cnnkern
