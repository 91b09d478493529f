// SPDX-License-Identifier: BSD-3-Clause
#include "cost.h"

#include <algorithm>
#include <numeric>

namespace cnnkern {

double volume(const Extent& e) {
  return static_cast<double>(e[0]) * static_cast<double>(e[1]) * static_cast<double>(e[2]);
}

Work work_of(const ConvProblem& g) {
  const double n = static_cast<double>(g.n), c = static_cast<double>(g.c);
  // torch's rule: no channels in, no channels out.
  const double k = g.c == 0 ? 0 : static_cast<double>(g.k);
  const double weights = k * c / static_cast<double>(g.groups) * volume(g.kernel);
  const double elements = n * c * volume(g.input) + weights + n * k * volume(g.output);
  return {2 * n * weights * volume(g.output), elements * static_cast<double>(size_of(g.dtype))};
}

namespace {

// Neighbouring parts of an axis share the position that their boundary cuts.
double taps_along(const PoolProblem& g, size_t i) {
  if (!g.uneven[i]) return static_cast<double>(g.kernel[i]) * static_cast<double>(g.output[i]);
  const int64_t shared = g.output[i] - std::gcd(g.input[i], g.output[i]);
  return static_cast<double>(g.input[i]) + static_cast<double>(shared);
}

}  // namespace

Work work_of(const PoolProblem& g, Direction direction) {
  const double planes = static_cast<double>(g.n) * static_cast<double>(g.c);
  const double outputs = planes * volume(g.output), inputs = planes * volume(g.input);
  double bytes = (inputs + outputs) * static_cast<double>(size_of(g.dtype));
  if (direction == Direction::input_grad && g.kind == PoolKind::max) {
    bytes += outputs * static_cast<double>(argmax_size(g));
  }
  return {planes * taps_along(g, 0) * taps_along(g, 1) * taps_along(g, 2), bytes};
}

double copy_us(double bytes, const DeviceTraits& traits) {
  return bytes / (traits.copy_gb_s * 1e3);
}

double reached_share(double share, DataType dtype, const DeviceTraits& traits) {
  constexpr double kFew = 0.1, kReached = 0.9;
  return dtype == DataType::float64 && traits.fp64_share < kFew ? std::max(share, kReached) : share;
}

Cost cost_of(const Work& work, double arithmetic_share, DataType dtype,
             const DeviceTraits& traits) {
  const double flops_per_us =
      peak_flops_per_us(traits, dtype) * reached_share(arithmetic_share, dtype, traits);
  Cost cost{};
  cost.flops = work.flops;
  cost.bytes = work.bytes;
  cost.flops_us = work.flops / flops_per_us;
  cost.bytes_us = copy_us(work.bytes, traits);
  return cost;
}

}  // namespace cnnkern
