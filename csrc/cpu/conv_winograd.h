// SPDX-License-Identifier: BSD-3-Clause
// What Winograd's algorithm serves, and with which tile: pure functions of the problem but its
// batch, so that a sample's result does not depend on the others. The plan asks them too.
#pragma once
#include <string>

#include "../problem/conv_problem.h"

namespace cnnkern::cpu {

std::string winograd_refusal(const ConvProblem&, Direction);  // empty: it serves

struct WinogradChoice {
  int64_t tile;  // outputs along each side of a tile: 2 or 4
  double share;  // of direct's time that it is expected to take, transforms included
};
WinogradChoice winograd_choice(const ConvProblem&, Direction);

}  // namespace cnnkern::cpu
