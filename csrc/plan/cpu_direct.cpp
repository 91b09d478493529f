// SPDX-License-Identifier: BSD-3-Clause
#include "../cpu/conv.h"
#include "../cpu/conv_blocking.h"
#include "../cpu/conv_pixels.h"
#include "candidates.h"
#include "cpu_cost.h"

namespace cnnkern {

namespace {

// The source of a single output, all taps and channels of a group, must stay in the cache.
std::string refuse(const ConvProblem& g, Direction direction) {
  const bool backward = direction == Direction::input_grad;
  if (g.n == 0 || g.c == 0) return "";
  // Most problems fit with all of their taps; which of them meet takes longer to know.
  int64_t most = (backward ? g.k : g.c) / g.groups * cpu::compute_size(g.dtype);
  for (int64_t taps : g.kernel) most *= taps;
  if (most <= cpu::kMaxStripBytes) return "";
  const int64_t bytes = cpu::direct_strip_bytes(g, direction);
  if (bytes <= cpu::kMaxStripBytes) return "";
  return "one output reads " + std::to_string(bytes >> 20) + " MiB, needs at most " +
         std::to_string(cpu::kMaxStripBytes >> 20) + " MiB; " +
         (backward ? "K/groups = " : "C/groups = ") +
         std::to_string((backward ? g.k : g.c) / g.groups) + ", kernel " +
         std::to_string(g.kernel[0]) + "x" + std::to_string(g.kernel[1]) + "x" +
         std::to_string(g.kernel[2]);
}

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const int64_t lanes = lanes_of(g.dtype, traits);
  const double fill = cpu::pixels_serve(g, direction, lanes) ? cpu::pixels_fill(g, direction, lanes)
                                                             : filters_fill(g, direction, traits);
  return cost_of(work_of(g), tile_share(g, direction, fill), g.dtype, traits);
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::direct, traits.cores);
}

}  // namespace

const ConvCandidate cpu_direct{Algorithm::direct, true, refuse, cost, workspace};

}  // namespace cnnkern
