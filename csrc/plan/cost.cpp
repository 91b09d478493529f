// SPDX-License-Identifier: BSD-3-Clause
#include "cost.h"

namespace cnnkern {

namespace {

double volume(const Extent& e) {
  return static_cast<double>(e[0]) * static_cast<double>(e[1]) * static_cast<double>(e[2]);
}

}  // namespace

Work work_of(const ConvProblem& g) {
  const double n = static_cast<double>(g.n), c = static_cast<double>(g.c);
  // torch's rule: no channels in, no channels out.
  const double k = g.c == 0 ? 0 : static_cast<double>(g.k);
  const double weights = k * c / static_cast<double>(g.groups) * volume(g.kernel);
  const double elements = n * c * volume(g.input) + weights + n * k * volume(g.output);
  return {2 * n * weights * volume(g.output), elements * static_cast<double>(size_of(g.dtype))};
}

Work work_of(const PoolProblem& g, Direction direction) {
  const double planes = static_cast<double>(g.n) * static_cast<double>(g.c);
  const double outputs = planes * volume(g.output), inputs = planes * volume(g.input);
  double bytes = (inputs + outputs) * static_cast<double>(size_of(g.dtype));
  if (direction == Direction::input_grad && g.kind == PoolKind::max) {
    bytes += outputs * static_cast<double>(argmax_size(g));
  }
  return {outputs * volume(g.kernel), bytes};
}

Cost cost_of(const Work& work, double arithmetic_share, DataType dtype,
             const DeviceTraits& traits) {
  const double flops_per_us = peak_flops_per_us(traits, dtype) * arithmetic_share;
  return {work.flops, work.bytes, work.flops / flops_per_us, work.bytes / (traits.copy_gb_s * 1e3)};
}

}  // namespace cnnkern
