// SPDX-License-Identifier: BSD-3-Clause
// What Winograd's algorithm serves, and whether it pays: pure functions of the problem but its
// batch, so that a sample's result does not depend on the others. The plan asks them too.
#pragma once
#include <string>

#include "../problem/conv_problem.h"

namespace cnnkern::cpu {

std::string winograd_refusal(const ConvProblem&, Direction);  // empty: it serves

// Of direct's time, what it is expected to take, transforms included.
double winograd_share(const ConvProblem&, Direction);

}  // namespace cnnkern::cpu
