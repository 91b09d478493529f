// SPDX-License-Identifier: BSD-3-Clause
// An algorithm as the plan sees it: when it does not serve, with the reason, and what it costs.
#pragma once
#include <string>

#include "../problem/conv_problem.h"
#include "../problem/pool_problem.h"
#include "cost.h"

namespace cnnkern {

// Of a matrix product: the results of a block, as ROWSxCOLUMNS, and how many blocks share a sum.
struct Tiling {
  std::string tile;
  int64_t split;
};

// Directions here are those of the convolution, also for transposed problems.
struct ConvCandidate {
  Algorithm algorithm;
  // A sample's forward and input gradient do not depend on the size of its batch.
  bool batch_invariant;
  std::string (*refuse)(const ConvProblem&, Direction);  // empty: it serves
  Cost (*cost)(const ConvProblem&, Direction, const DeviceTraits&);
  int64_t (*workspace)(const ConvProblem&, Direction, const DeviceTraits&);
  // Why it waits until it is named, though it would serve; empty, or null, where it does not.
  std::string (*pass_over)(const ConvProblem&, Direction) = nullptr;
  // Of what an algorithm cuts by device; null where none is.
  Tiling (*tiling)(const ConvProblem&, Direction, const DeviceTraits&) = nullptr;
};

struct PoolCandidate {
  const char* name;
  Cost (*cost)(const PoolProblem&, Direction, const DeviceTraits&);
};

extern const ConvCandidate cpu_direct, cpu_depthwise, cpu_im2col, cpu_winograd;
extern const ConvCandidate cuda_direct, cuda_depthwise, cuda_im2col, cuda_implicit_gemm;
extern const PoolCandidate max_pool, avg_pool;

// Of depthwise, on every device.
std::string refuse_unless_depthwise(const ConvProblem&);

}  // namespace cnnkern
