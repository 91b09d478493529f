// SPDX-License-Identifier: BSD-3-Clause
#include "../cuda/conv_depthwise.h"
#include "candidates.h"

namespace cnnkern {

namespace {

// Every tensor moves once; a multiply-add on CUDA cores for a tap of an output, and about as many
// instructions around it.
constexpr double kShare = 0.4;

std::string refuse(const ConvProblem& g, Direction) { return refuse_unless_depthwise(g); }

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  Cost cost = cost_of(work_of(g), kShare, g.dtype, traits);
  // The sums of a weight gradient's parts.
  if (direction == Direction::weight_grad) cost.launches_us = traits.cuda.launch_us;
  return cost;
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits&) {
  return cuda::conv_depthwise_workspace_bytes(g, direction);
}

}  // namespace

const ConvCandidate cuda_depthwise{Algorithm::depthwise, true, refuse, cost, workspace};

}  // namespace cnnkern
