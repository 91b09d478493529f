// SPDX-License-Identifier: BSD-3-Clause
// Where direct takes pixels of a row for lanes, in place of filters: groups of a few destination
// channels (the gradient of a picture, grouped convolutions) would leave most of a vector of
// filters empty. Pure functions of the problem.
#pragma once
#include "conv_kernels_table.h"

namespace cnnkern::cpu {

// Whether direct does so, in front of zeros, on vectors of so many lanes of its compute type.
bool pixels_serve(const ConvProblem&, Direction, int64_t lanes);

// The lanes that hold pixels, of those that rows take up.
double pixels_fill(const ConvProblem&, Direction, int64_t lanes);

}  // namespace cnnkern::cpu
