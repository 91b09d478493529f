// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "../cpu/conv.h"
#include "../cpu/conv_blocking.h"
#include "candidates.h"

namespace cnnkern {

namespace {

// Register tiles reach this share of the multiply-add rate on layers that fill them; the weight
// gradient also transposes what it reads.
constexpr double kShare = 0.75, kWeightGradShare = 0.6;

// The source of a single output, all taps and channels of a group, must stay in the cache.
std::string refuse(const ConvProblem& g, Direction direction) {
  const int64_t bytes = cpu::direct_strip_bytes(g, direction);
  if (bytes <= cpu::kMaxStripBytes) return "";
  const bool backward = direction == Direction::input_grad;
  return "one output reads " + std::to_string(bytes >> 20) + " MiB, needs at most " +
         std::to_string(cpu::kMaxStripBytes >> 20) + " MiB; " +
         (backward ? "K/groups = " : "C/groups = ") +
         std::to_string((backward ? g.k : g.c) / g.groups) + ", kernel " +
         std::to_string(g.kernel[0]) + "x" + std::to_string(g.kernel[1]) + "x" +
         std::to_string(g.kernel[2]);
}

// Vectors hold the filters of a group (channels, for an input gradient): the last may be half
// empty.
double filled(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const int64_t channels = (direction == Direction::input_grad ? g.c : g.k) / g.groups;
  const int64_t lanes = std::max<int64_t>(traits.lanes * 4 / cpu::compute_size(g.dtype), 1);
  const int64_t vectors = std::max<int64_t>((channels + lanes - 1) / lanes, 1);
  return static_cast<double>(std::max<int64_t>(channels, 1)) / static_cast<double>(vectors * lanes);
}

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const double share = direction == Direction::weight_grad ? kWeightGradShare : kShare;
  return cost_of(work_of(g), 0, share * filled(g, direction, traits), g.dtype, traits);
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::direct, traits.cores);
}

}  // namespace

const ConvCandidate conv_direct{Algorithm::direct, refuse, cost, workspace};

}  // namespace cnnkern
