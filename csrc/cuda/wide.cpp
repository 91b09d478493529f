// SPDX-License-Identifier: BSD-3-Clause
#include "wide.h"

#include "sizes.h"

namespace cnnkern::cuda {

namespace {

// Positions of taps, those in the padding too. Checked problems leave these sums within int64.
template <class Problem>
bool coordinates_fit(const Problem& g) {
  for (int i = 0; i < 3; ++i) {
    const int64_t reach = g.dilation[i] * (g.kernel[i] - 1) + g.stride[i];
    if (!fits_int32({g.pad_before[i] + g.input[i] + g.pad_after[i] + reach})) return false;
  }
  return true;
}

}  // namespace

bool& always_wide() {
  static bool wide = false;
  return wide;
}

bool fits_int32(std::initializer_list<int64_t> elements) {
  constexpr int64_t kMost = (int64_t{1} << 31) - (int64_t{1} << 20);
  if (always_wide()) return false;
  for (int64_t count : elements) {
    if (count >= kMost) return false;
  }
  return true;
}

bool fits_int32(const ConvProblem& g) {
  return coordinates_fit(g) &&
         fits_int32({input_elements(g), output_elements(g), weight_elements(g)});
}
bool fits_int32(const PoolProblem& g) {
  // Windows of an adaptive pool begin at products of both sizes.
  for (int i = 0; is_uneven(g) && i < 3; ++i) {
    if (!fits_int32({(g.input[i] + 1) * (g.output[i] + 1)})) return false;
  }
  return coordinates_fit(g) && fits_int32({input_elements(g), output_elements(g)});
}

}  // namespace cnnkern::cuda
