// SPDX-License-Identifier: BSD-3-Clause
// An implicit matrix product on CUDA cores. It serves everything: exact float32, float64, groups of
// a few channels, first layers, and whatever the others refuse.
#include <algorithm>

#include "../cuda/conv_direct.h"
#include "candidates.h"
#include "cuda_cost.h"

namespace cnnkern {

namespace {

std::string refuse(const ConvProblem&, Direction) { return ""; }

// Rows and columns, as the kernels have them; the largest are float32's alone.
const std::vector<ProductTile>& tiles_of(DataType dtype, Direction direction) {
  constexpr ProductTile kLarge{128, 64, 0.6}, kMedium{64, 64, 0.45}, kThin{256, 16, 0.4};
  constexpr ProductTile kSmall{32, 16, 0.3};
  using Tiles = std::vector<ProductTile>;
  static const auto& kWeightGrad = *new Tiles{kMedium, kSmall};
  static const auto& kFloat32 = *new Tiles{kLarge, kMedium, kThin, kSmall};
  static const auto& kOthers = *new Tiles{kMedium, kThin, kSmall};
  if (direction == Direction::weight_grad) return kWeightGrad;
  return dtype == DataType::float32 ? kFloat32 : kOthers;
}

Product product_of(const ConvProblem& g, Direction direction) {
  const double groups = static_cast<double>(g.groups), n = static_cast<double>(g.n);
  const double c = static_cast<double>(g.c) / groups, k = static_cast<double>(g.k) / groups;
  const double taps = volume(g.kernel);
  if (direction == Direction::forward) return {groups, n * volume(g.output), k, c * taps, 0};
  if (direction == Direction::weight_grad) {
    constexpr double kPart = 256;
    return {groups, c * taps, k, n * volume(g.output), kPart};
  }
  // Inputs of one residue modulo the stride are a product of their own, of the taps that reach
  // them.
  double phases = 1;
  for (size_t i = 0; i < 3; ++i) {
    phases *= static_cast<double>(std::min({g.stride[i], g.kernel[i], g.input[i]}));
  }
  phases = std::max(phases, 1.0);
  return {groups * phases, n * volume(g.input) / phases, c, k * taps / phases, 0};
}

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  Cost cost = cost_of(work_of(g), 1, g.dtype, traits);
  const double us = product_us(product_of(g, direction), tiles_of(g.dtype, direction), g.dtype,
                               peak_flops_per_us(traits, g.dtype), traits);
  cost.flops_us = std::max(cost.flops_us, us);
  // The sums of a weight gradient's parts.
  if (direction == Direction::weight_grad) cost.launches_us = traits.cuda.launch_us;
  return cost;
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits&) {
  return cuda::conv_direct_workspace_bytes(g, direction);
}

}  // namespace

const ConvCandidate cuda_direct{Algorithm::direct, true, refuse, cost, workspace};

}  // namespace cnnkern
