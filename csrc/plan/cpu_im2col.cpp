// SPDX-License-Identifier: BSD-3-Clause
#include "../cpu/conv.h"
#include "candidates.h"
#include "cpu_cost.h"

namespace cnnkern {

namespace {

// The matrix is gathered in runs of one output, tap and group: so long takes each.
constexpr double kRunUs = 0.005;

// The last of the list: every problem has a matrix.
std::string refuse(const ConvProblem&, Direction) { return ""; }

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const bool backward = direction == Direction::input_grad;
  double runs = static_cast<double>(g.n) * static_cast<double>(g.groups);
  for (size_t i = 0; i < 3; ++i) {
    runs *= static_cast<double>(backward ? g.input[i] : g.output[i]);
    runs *= static_cast<double>(g.kernel[i]);
    if (backward) runs /= static_cast<double>(g.stride[i]);
  }
  Cost cost = cost_of(work_of(g), tile_share(g, direction, filters_fill(g, direction, traits)),
                      g.dtype, traits);
  cost.flops_us += runs * kRunUs / static_cast<double>(traits.cores);
  return cost;
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::im2col, traits.cores);
}

}  // namespace

const ConvCandidate cpu_im2col{Algorithm::im2col, true, refuse, cost, workspace};

}  // namespace cnnkern
