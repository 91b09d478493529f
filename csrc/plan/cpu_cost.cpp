// SPDX-License-Identifier: BSD-3-Clause
#include "cpu_cost.h"

#include <algorithm>

namespace cnnkern {

namespace {

constexpr double kForwardShare = 0.8, kWeightGradShare = 0.75;
// Beginning and storing a tile takes as long as this many steps of its sums.
constexpr double kStepsPerTile = 16;

}  // namespace

int64_t lanes_of(DataType dtype, const DeviceTraits& traits) {
  return std::max<int64_t>(traits.lanes / (dtype == DataType::float64 ? 2 : 1), 1);
}

double filters_fill(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const bool backward = direction == Direction::input_grad;
  const int64_t across = std::max<int64_t>((backward ? g.c : g.k) / g.groups, 1);
  const int64_t lanes = lanes_of(g.dtype, traits), vectors = (across + lanes - 1) / lanes;
  return static_cast<double>(across) / static_cast<double>(vectors * lanes);
}

double tile_share(const ConvProblem& g, Direction direction, double filled) {
  const bool backward = direction == Direction::input_grad;
  double steps = static_cast<double>((backward ? g.k : g.c) / g.groups);
  for (int64_t taps : g.kernel) steps *= static_cast<double>(taps);
  steps = std::max(steps, 1.0);
  const double share = direction == Direction::weight_grad ? kWeightGradShare : kForwardShare;
  return share * filled * steps / (steps + kStepsPerTile);
}

}  // namespace cnnkern
