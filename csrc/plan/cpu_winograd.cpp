// SPDX-License-Identifier: BSD-3-Clause
#include <cstdio>

#include "../cpu/conv.h"
#include "../cpu/conv_winograd.h"
#include "candidates.h"
#include "cpu_cost.h"

namespace cnnkern {

namespace {

// Expected to take more than this of direct's time, it is not worth what it rounds.
constexpr double kWorthwhile = 0.9;

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  Cost cost = cost_of(work_of(g), tile_share(g, direction, filters_fill(g, direction, traits)),
                      g.dtype, traits);
  cost.flops_us *= cpu::winograd_share(g, direction);
  return cost;
}

std::string pass_over(const ConvProblem& g, Direction direction) {
  const double share = cpu::winograd_share(g, direction);
  if (share <= kWorthwhile) return "";
  char text[96];
  std::snprintf(text, sizeof text, "its transforms leave %.2f of direct's time, needs %.1f", share,
                kWorthwhile);
  return text;
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::winograd, traits.cores);
}

}  // namespace

const ConvCandidate cpu_winograd{Algorithm::winograd, true,     cpu::winograd_refusal, cost,
                                 workspace,           pass_over};

}  // namespace cnnkern
