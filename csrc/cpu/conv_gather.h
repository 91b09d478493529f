// SPDX-License-Identifier: BSD-3-Clause
// Forward convolution and every phase of an input gradient are one thing: positions o of a lattice
// in the destination gather from source positions o * stride + base + t * step over taps t.
//
// An input gradient falls apart by position modulo stride: positions of one residue meet the same
// taps, every (stride / gcd(stride, dilation))th of them, and read neighbouring source positions.
// So a strided gradient does no more arithmetic than its forward, and writes each value once.
#pragma once
#include <array>
#include <vector>

#include "../problem/border.h"
#include "../problem/conv_problem.h"

namespace cnnkern::cpu {

struct Axis {
  int64_t out, in, taps;           // lattice positions, source positions, taps (maybe none)
  int64_t stride, base, step;      // the source position of (o, t) is o * stride + base + t * step
  int64_t first, spacing;          // the destination position of o is first + o * spacing
  int64_t tap_first, tap_spacing;  // t is the filter's tap tap_first + t * tap_spacing
};
using Axes = std::array<Axis, 3>;  // depth, height, width

constexpr int64_t taps_of(const Axes& axes) { return axes[0].taps * axes[1].taps * axes[2].taps; }
constexpr int64_t positions_of(const Axes& axes) { return axes[0].out * axes[1].out * axes[2].out; }

// Zeros around the source let taps be left out that see nothing else.
Axes forward_axes(const ConvProblem&, Border = Border::zeros);

struct InputGradPhases {
  std::vector<Axes> phases;  // those that have taps
  bool complete;             // else some positions belong to no phase: their gradient is zero
};
InputGradPhases input_grad_phases(const ConvProblem&);

// A part of a phase whose positions lose the same taps to the zeros around the source, with those
// that are left (maybe none), or lose none. Axes are cut where that saves a good part of their
// taps, or wherever they can be.
struct Region {
  Axes axes;
  size_t phase;
};
std::vector<Region> cut_regions(const InputGradPhases&, Border, bool wherever);

}  // namespace cnnkern::cpu
