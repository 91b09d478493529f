// SPDX-License-Identifier: BSD-3-Clause
// What the implicit matrix product reads, and what is packed for it first. No CUDA: plans ask for
// its workspace.
#pragma once
#include "../problem/conv_problem.h"

namespace cnnkern::cuda {

constexpr int64_t kImplicitStepBytes = 64;  // of the reduction, a row of a tile
// Of the copies that one launch reads.
constexpr int64_t kMostPackedBytes = int64_t{32} << 20;

// An activation as copies of 16 bytes read it (8, where a group has a multiple of 4 channels of 16
// bits but not of 8): channels side by side, as it is or in a packed copy.
struct ImplicitOperand {
  int64_t channels, padded;  // of one group
  int64_t pixels;            // of one sample
  bool packed;
  int64_t sample_bytes;  // of the packed copy; 0 where there is none

  int64_t group_stride() const { return packed ? padded : channels; }
};

// x of a forward convolution, dy of an input gradient. (c, k, taps): few channels are padded to 4.
ImplicitOperand gathered_operand(const ConvProblem&, Direction);
// dy and x of a weight gradient: 16 bytes always.
struct WeightGradOperands {
  ImplicitOperand dy, x;
};
WeightGradOperands weight_grad_operands(const ConvProblem&);

// Samples of one launch: their offsets fit int32, their packed copies take at most
// kMostPackedBytes, unless a single one needs more.
int64_t implicit_gemm_samples(const ConvProblem&, Direction);

}  // namespace cnnkern::cuda
