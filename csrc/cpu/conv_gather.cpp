// SPDX-License-Identifier: BSD-3-Clause
#include "conv_gather.h"

#include <algorithm>
#include <numeric>

namespace cnnkern::cpu {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// Taps that see nothing but padding, whatever the position, add zeros: they are left out.
Axis without_idle_taps(Axis axis) {
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

// The phase of one axis that holds input position h0, which is less than the stride.
Axis phase(const ConvProblem& g, int axis, int64_t h0) {
  const int64_t stride = g.stride[axis], dilation = g.dilation[axis], taps = g.kernel[axis];
  const int64_t common = std::gcd(dilation, stride), every = stride / common;
  const int64_t residue = (h0 + g.pad_before[axis]) % stride;
  Axis phase{};
  phase.out = (g.input[axis] - 1 - h0) / stride + 1;
  phase.in = g.output[axis];
  phase.stride = 1;
  phase.step = dilation / common;
  phase.first = h0;
  phase.spacing = stride;
  if (residue % common) return phase;
  // The first tap r with residue = r * dilation (modulo stride).
  const auto wide =
      __int128(residue / common) * (every == 1 ? 0 : inverse(dilation / common, every));
  const int64_t r0 = every == 1 ? 0 : int64_t(wide % every);
  if (r0 >= taps) return phase;
  phase.taps = (taps - 1 - r0) / every + 1;
  // Further taps read earlier source positions: walk them backwards.
  phase.base = (h0 + g.pad_before[axis] - r0 * dilation) / stride - (phase.taps - 1) * phase.step;
  phase.tap_first = r0 + every * (phase.taps - 1);
  phase.tap_spacing = -every;
  return without_idle_taps(phase);
}

// Residues below `residues` that some tap meets, ascending. Found from the taps: a stride may be
// much larger than the kernel.
std::vector<int64_t> touched_residues(const ConvProblem& g, int axis, int64_t residues) {
  const int64_t stride = g.stride[axis], dilation = g.dilation[axis];
  const int64_t different = std::min(g.kernel[axis], stride / std::gcd(dilation, stride));
  std::vector<int64_t> found;
  for (int64_t r = 0; r < different; ++r) {
    const int64_t residue = (r * dilation - g.pad_before[axis]) % stride;
    const int64_t h0 = residue < 0 ? residue + stride : residue;
    if (h0 < residues) found.push_back(h0);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Cut at the first position whose first tap lies inside, and at the first whose last does not.
std::vector<Axis> parts_of(const Axis& axis, bool wherever) {
  if (!axis.taps) return {axis};
  const int64_t begin = -floor_div(axis.base, axis.stride);
  const int64_t last = axis.base + (axis.taps - 1) * axis.step;
  const int64_t end = floor_div(axis.in - 1 - last, axis.stride) + 1;
  const int64_t a = std::clamp<int64_t>(begin, 0, axis.out);
  const int64_t b = std::clamp<int64_t>(end, 0, axis.out);
  const int64_t cuts[] = {0, std::min(a, b), std::max(a, b), axis.out};
  std::vector<Axis> parts;
  int64_t left = 0;
  for (int i = 0; i < 3; ++i) {
    if (cuts[i] == cuts[i + 1]) continue;
    Axis part = axis;
    part.out = cuts[i + 1] - cuts[i];
    part.base += cuts[i] * axis.stride;
    part.first += cuts[i] * axis.spacing;
    parts.push_back(without_idle_taps(part));
    left += part.out * parts.back().taps;
  }
  if (wherever || 8 * left <= 7 * axis.out * axis.taps) return parts;
  return {axis};
}

}  // namespace

Axes forward_axes(const ConvProblem& g, Border border) {
  Axes axes;
  for (int i = 0; i < 3; ++i) {
    const Axis all{g.output[i],   g.input[i], g.kernel[i], g.stride[i], -g.pad_before[i],
                   g.dilation[i], 0,          1,           0,           1};
    axes[i] = border == Border::zeros ? without_idle_taps(all) : all;
  }
  return axes;
}

InputGradPhases input_grad_phases(const ConvProblem& g) {
  InputGradPhases result{{}, true};
  std::vector<Axis> along[3];
  for (int i = 0; i < 3; ++i) {
    const int64_t residues = std::min(g.stride[i], g.input[i]);
    for (const int64_t h0 : touched_residues(g, i, residues)) {
      const Axis axis = phase(g, i, h0);
      if (axis.taps) along[i].push_back(axis);
    }
    result.complete = result.complete && int64_t(along[i].size()) == residues;
  }
  result.phases.reserve(along[0].size() * along[1].size() * along[2].size());
  for (const Axis& d : along[0])
    for (const Axis& h : along[1])
      for (const Axis& w : along[2]) result.phases.push_back({d, h, w});
  return result;
}

std::vector<Region> cut_regions(const InputGradPhases& split, Border border, bool wherever) {
  std::vector<Region> regions;
  for (size_t phase = 0; phase < split.phases.size(); ++phase) {
    const Axes& axes = split.phases[phase];
    if (border != Border::zeros) {
      regions.push_back({axes, phase});
      continue;
    }
    std::vector<Axis> along[3];
    for (int i = 0; i < 3; ++i) along[i] = parts_of(axes[i], wherever);
    for (const Axis& d : along[0])
      for (const Axis& h : along[1])
        for (const Axis& w : along[2]) {
          regions.push_back({{d, h, w}, phase});
          Axes& part = regions.back().axes;
          if (!taps_of(part))
            for (Axis& axis : part) axis.taps = 0;
        }
  }
  return regions;
}

}  // namespace cnnkern::cpu
