// SPDX-License-Identifier: BSD-3-Clause
#include "conv_phases.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace cnnkern::cuda {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Taps that see nothing but padding, whatever the position, add zeros: they are left out.
GatherAxis without_idle_taps(GatherAxis axis) {
  const int64_t last = (axis.out - 1) * axis.stride + axis.base;
  const int64_t begin = std::max<int64_t>(0, -floor_div(last, axis.step));
  const int64_t end = std::min(axis.taps, floor_div(axis.in - 1 - axis.base, axis.step) + 1);
  axis.taps = std::max<int64_t>(0, end - begin);
  if (!axis.taps) return axis;
  axis.base += begin * axis.step;
  axis.tap_first += begin * axis.tap_spacing;
  return axis;
}

int64_t inverse(int64_t a, int64_t modulus) {
  int64_t r0 = modulus, r1 = a % modulus, t0 = 0, t1 = 1;
  while (r1) {
    const int64_t quotient = r0 / r1;
    std::swap(r0 -= quotient * r1, r1);
    std::swap(t0 -= quotient * t1, t1);
  }
  return t0 < 0 ? t0 + modulus : t0;
}

// The phase that holds input position h0, which is less than the stride.
GatherAxis phase(const ConvProblem& g, int axis, int64_t h0) {
  const int64_t stride = g.stride[axis], dilation = g.dilation[axis], taps = g.kernel[axis];
  const int64_t common = std::gcd(dilation, stride), every = stride / common;
  const int64_t residue = (h0 + g.pad_before[axis]) % stride;
  GatherAxis phase{};
  phase.out = (g.input[axis] - 1 - h0) / stride + 1;
  phase.in = g.output[axis];
  phase.stride = 1;
  phase.step = dilation / common;
  phase.first = h0;
  phase.spacing = stride;
  if (residue % common) return phase;
  // The first tap r with residue = r * dilation (modulo stride).
  const int64_t turns = every == 1 ? 0 : inverse(dilation / common, every);
  const int64_t r0 =
      every == 1 ? 0 : static_cast<int64_t>(__int128{residue / common} * turns % every);
  if (r0 >= taps) return phase;
  phase.taps = (taps - 1 - r0) / every + 1;
  // Further taps read earlier source positions: walk them backwards.
  phase.base = (h0 + g.pad_before[axis] - r0 * dilation) / stride - (phase.taps - 1) * phase.step;
  phase.tap_first = r0 + every * (phase.taps - 1);
  phase.tap_spacing = -every;
  return without_idle_taps(phase);
}

}  // namespace

GatherAxis forward_phase(const ConvProblem& g, int axis) {
  return without_idle_taps({g.output[axis], g.input[axis], g.kernel[axis], g.stride[axis],
                            -g.pad_before[axis], g.dilation[axis], 0, 1, 0, 1});
}

std::vector<GatherAxis> input_grad_phases(const ConvProblem& g, int axis) {
  std::vector<GatherAxis> phases;
  for (int64_t h0 = 0; h0 < std::min(g.stride[axis], g.input[axis]); ++h0) {
    phases.push_back(phase(g, axis, h0));
  }
  return phases;
}

std::vector<GatherAxis> input_grad_phases_with_taps(const ConvProblem& g, int axis) {
  const int64_t stride = g.stride[axis], dilation = g.dilation[axis];
  const int64_t different = std::min(g.kernel[axis], stride / std::gcd(dilation, stride));
  std::vector<GatherAxis> phases;
  for (int64_t r = 0; r < different; ++r) {
    const int64_t residue = (r * dilation - g.pad_before[axis]) % stride;
    const int64_t h0 = residue < 0 ? residue + stride : residue;
    if (h0 >= g.input[axis]) continue;
    const GatherAxis found = phase(g, axis, h0);
    if (found.taps) phases.push_back(found);
  }
  return phases;
}

GatherAxis input_grad_fill(const ConvProblem& g, int axis) {
  return {g.input[axis], g.output[axis], 0, 1, 0, 1, 0, 1, 0, 1};
}

std::vector<Phases> phase_launches(const ConvProblem& g, bool gradient, int64_t most) {
  if (!gradient) return {{{{forward_phase(g, 0)}, {forward_phase(g, 1)}, {forward_phase(g, 2)}}}};
  bool few = true;
  for (int i = 0; i < 3; ++i) few = few && std::min(g.stride[i], g.input[i]) <= most;
  Phases all, fill;
  for (int i = 0; i < 3; ++i) {
    all[i] = few ? input_grad_phases(g, i) : input_grad_phases_with_taps(g, i);
    fill[i] = {input_grad_fill(g, i)};
  }
  std::vector<Phases> launches;
  if (!few) launches.push_back(fill);
  const auto part = [most](const std::vector<GatherAxis>& along, size_t first) {
    const size_t last = std::min(along.size(), first + size_t(most));
    return std::vector<GatherAxis>(along.begin() + int64_t(first), along.begin() + int64_t(last));
  };
  const size_t by = size_t(most);
  for (size_t d = 0; d < all[0].size(); d += by)
    for (size_t h = 0; h < all[1].size(); h += by)
      for (size_t w = 0; w < all[2].size(); w += by)
        launches.push_back({part(all[0], d), part(all[1], h), part(all[2], w)});
  return launches;
}

int64_t most_pixels(const Phases& phases, int64_t samples) {
  int64_t pixels = samples;
  for (const auto& along : phases) {
    int64_t most = 0;
    for (const GatherAxis& phase : along) most = std::max(most, phase.out);
    pixels *= most;
  }
  return pixels;
}

int64_t count_of(const Phases& phases) {
  return int64_t(phases[0].size() * phases[1].size() * phases[2].size());
}

}  // namespace cnnkern::cuda
