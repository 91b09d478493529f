// SPDX-License-Identifier: BSD-3-Clause
#include "../cpu/conv.h"
#include "candidates.h"

namespace cnnkern {

namespace {

// Its matrix product keeps this share of the multiply-add rate.
constexpr double kShare = 0.6;

// The last of the list: every problem has a matrix.
std::string refuse(const ConvProblem&, Direction) { return ""; }

// The matrix is written and read once more than the tensors; float32 also for 16-bit types.
Cost cost(const ConvProblem& g, Direction, const DeviceTraits& traits) {
  double elements = static_cast<double>(g.n) * static_cast<double>(g.c);
  for (size_t i = 0; i < 3; ++i) {
    elements *= static_cast<double>(g.output[i]) * static_cast<double>(g.kernel[i]);
  }
  const double size = g.dtype == DataType::float64 ? 8 : 4;
  return cost_of(work_of(g), 2 * elements * size, kShare, g.dtype, traits);
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  return cpu::conv_workspace_bytes(g, direction, Algorithm::im2col, traits.cores);
}

}  // namespace

const ConvCandidate conv_im2col{Algorithm::im2col, refuse, cost, workspace};

}  // namespace cnnkern
