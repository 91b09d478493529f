// SPDX-License-Identifier: BSD-3-Clause
#include "cpu_cost.h"

#include <algorithm>

namespace cnnkern {

namespace {

constexpr double kForwardShare = 0.8, kWeightGradShare = 0.75;
// Beginning and storing a tile takes as long as this many steps of its sums.
constexpr double kStepsPerTile = 16;

}  // namespace

double tile_share(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  // Vectors hold the filters of a group; its channels, for an input gradient.
  const bool backward = direction == Direction::input_grad;
  const int64_t across = std::max<int64_t>((backward ? g.c : g.k) / g.groups, 1);
  const int64_t lanes = std::max<int64_t>(traits.lanes / (g.dtype == DataType::float64 ? 2 : 1), 1);
  const int64_t vectors = (across + lanes - 1) / lanes;
  const double filled = static_cast<double>(across) / static_cast<double>(vectors * lanes);
  double steps = static_cast<double>((backward ? g.k : g.c) / g.groups);
  for (int64_t taps : g.kernel) steps *= static_cast<double>(taps);
  steps = std::max(steps, 1.0);
  const double share = direction == Direction::weight_grad ? kWeightGradShare : kForwardShare;
  return share * filled * steps / (steps + kStepsPerTile);
}

}  // namespace cnnkern
