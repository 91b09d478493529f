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
  // Before or after them: bytes that other kernels move, and what it takes to start those.
  double moves_us = 0, launches_us = 0;
};

struct Work {
  double flops, bytes;
};

// Doubles: these are counts of up to 2^70, of which three digits matter.
double volume(const Extent&);

// Every tap counts, also those in the padding; every tensor moves once.
Work work_of(const ConvProblem&);
Work work_of(const PoolProblem&, Direction);

double copy_us(double bytes, const DeviceTraits&);

// A kernel's share of the multiply-add rate. What it does beside multiply-adds hides behind those
// of float64 on devices that have few units for them.
double reached_share(double share, DataType, const DeviceTraits&);

// arithmetic_share: of the multiply-add rate, what the algorithm reaches.
Cost cost_of(const Work&, double arithmetic_share, DataType, const DeviceTraits&);

}  // namespace cnnkern
