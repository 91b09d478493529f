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

#include "../problem/conv_problem.h"

namespace cnnkern::cuda {

struct GatherAxis {
  int64_t out, in, taps;           // lattice positions, source positions, taps (maybe none)
  int64_t stride, base, step;      // the source position of (o, t) is o * stride + base + t * step
  int64_t first, spacing;          // the destination position of o is first + o * spacing
  int64_t tap_first, tap_spacing;  // t is the filter's tap tap_first + t * tap_spacing
};

// Forward: the one phase of an axis.
GatherAxis forward_phase(const ConvProblem&, int axis);

// Input gradient: of each residue in turn; some may have no taps.
std::vector<GatherAxis> input_grad_phases(const ConvProblem&, int axis);
// Only those with taps, found without walking the residues: a stride may be much larger than the
// kernel.
std::vector<GatherAxis> input_grad_phases_with_taps(const ConvProblem&, int axis);
// All positions of the gradient, no tap.
GatherAxis input_grad_fill(const ConvProblem&, int axis);

// The phases of each axis that one launch computes, every combination of them.
using Phases = std::array<std::vector<GatherAxis>, 3>;

// The launches, of at most `most` phases of an axis each, that one after the other make a forward
// or an input gradient. Where a stride is larger than that, the first has no taps and fills all.
std::vector<Phases> phase_launches(const ConvProblem&, bool gradient, int64_t most);

// Positions of a launch's largest combination of phases, of so many samples; combinations.
int64_t most_pixels(const Phases&, int64_t samples);
int64_t count_of(const Phases&);

}  // namespace cnnkern::cuda
