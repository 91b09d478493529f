// SPDX-License-Identifier: BSD-3-Clause
// The cost model: the longer of arithmetic and traffic, each at the share of the device's rate that
// an algorithm reaches.
#pragma once
#include "../problem/conv_problem.h"
#include "../problem/pool_problem.h"
#include "traits.h"

namespace cnnkern {

struct Cost {
  double flops, bytes;  // least of the problem
  double flops_us, bytes_us;
};

struct Work {
  double flops, bytes;
};

// Every tap counts, also those in the padding; every tensor moves once. Doubles: these are counts
// of up to 2^70, of which three digits matter.
Work work_of(const ConvProblem&);
Work work_of(const PoolProblem&, Direction);

// arithmetic_share: of the multiply-add rate, what the algorithm reaches.
Cost cost_of(const Work&, double arithmetic_share, DataType, const DeviceTraits&);

}  // namespace cnnkern
