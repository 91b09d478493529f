// SPDX-License-Identifier: BSD-3-Clause
#include "conv_pixels.h"

#include <algorithm>

namespace cnnkern::cpu {

bool pixels_serve(const ConvProblem& g, Direction direction, int64_t lanes) {
  if (direction == Direction::weight_grad || !g.groups) return false;
  const bool gradient = direction == Direction::input_grad;
  const int64_t cin = (gradient ? g.k : g.c) / g.groups, cout = (gradient ? g.c : g.k) / g.groups;
  if (!cin || !cout || cout > std::min(kFewFilters, lanes / 2)) return false;
  // Filters of one tap read channels that lie side by side as they are.
  if (g.format == Format::channels_last && g.kernel[0] * g.kernel[1] * g.kernel[2] == 1)
    return false;
  // From pixel to pixel of a vector, what a tap reads moves by one.
  if (!gradient && g.stride[2] != 1) return false;
  return pixels_fill(g, direction, lanes) > 1.25 * double(cout) / double(lanes);
}

double pixels_fill(const ConvProblem& g, Direction direction, int64_t lanes) {
  // Of one phase, for an input gradient.
  const int64_t pixels =
      direction == Direction::forward ? g.output[2] : (g.input[2] + g.stride[2] - 1) / g.stride[2];
  return double(pixels) / double(std::max<int64_t>(1, (pixels + lanes - 1) / lanes * lanes));
}

}  // namespace cnnkern::cpu
