// SPDX-License-Identifier: BSD-3-Clause
#include "conv_winograd.h"

#include <algorithm>
#include <vector>

#include "../problem/names.h"
#include "conv_gather.h"
#include "conv_kernels_table.h"

namespace cnnkern::cpu {
namespace {

// Below it, transforms are most of the work.
constexpr int64_t kLeastChannels = 4;
// Images that share the transform of the filters. Not the batch: its size must not choose.
constexpr double kImages = 4;
// In multiply-adds, what each value costs: of the transformed source, of the products, of the
// transformed filters, of direct's packed ones. Measured on AVX2.
constexpr double kSourceCost = 12, kProductCost = 12, kFilterCost = 20, kPackCost = 10;

struct Sizes {
  int64_t cin, cout, height, width;
};
Sizes sizes_of(const ConvProblem& g, Direction direction) {
  const bool backward = direction == Direction::input_grad;
  const Extent& out = backward ? g.input : g.output;
  Sizes s{g.c / g.groups, g.k / g.groups, out[1], out[2]};
  if (backward) std::swap(s.cin, s.cout);
  return s;
}

std::string pair_text(const Extent& e) { return std::to_string(e[1]) + "x" + std::to_string(e[2]); }

}  // namespace

std::string winograd_refusal(const ConvProblem& g, Direction direction) {
  const auto all = [](const Extent& e, int64_t value) { return e[1] == value && e[2] == value; };
  if (g.dtype == DataType::float64) return "dtype is float64, needs float32 sums";
  if (g.input[0] != 1 || g.output[0] != 1 || g.kernel[0] != 1)
    return "input depth is " + std::to_string(g.input[0]) + ", needs 1 and no padding there";
  if (!all(g.kernel, 3)) return "kernel is " + pair_text(g.kernel) + ", needs 3x3";
  if (!all(g.stride, 1)) return "stride is " + pair_text(g.stride) + ", needs 1x1";
  if (!all(g.dilation, 1)) return "dilation is " + pair_text(g.dilation) + ", needs 1x1";
  if (std::min(g.c, g.k) < kLeastChannels * g.groups)
    return "C/groups is " + std::to_string(g.c / g.groups) + ", K/groups " +
           std::to_string(g.k / g.groups) + ", needs " + std::to_string(kLeastChannels) +
           " of both";
  if (direction == Direction::weight_grad) return "has no weight gradient of 3x3 filters";
  const auto phases = direction == Direction::forward ? std::vector<Axes>{forward_axes(g)}
                                                      : input_grad_phases(g).phases;
  if (phases.empty() || (phases[0][1].taps == 3 && phases[0][2].taps == 3)) return "";
  return "some of the 3x3 taps see nothing but padding";
}

double winograd_share(const ConvProblem& g, Direction direction) {
  const Sizes s = sizes_of(g, direction);
  const double cin = double(s.cin), cout = double(s.cout);
  const auto up = [](int64_t size) { return double((size + kWinogradTile - 1) / kWinogradTile); };
  const double image =
      up(s.height) * up(s.width) * (cin * cout + cin * kSourceCost + cout * kProductCost);
  const double tiles = double(kWinogradPoints) * (kImages * image + cin * cout * kFilterCost);
  const double positions = double(s.height) * double(s.width);
  const double direct = 9 * cin * cout * (kImages * positions + kPackCost);
  return tiles / std::max(direct, 1.0);
}

}  // namespace cnnkern::cpu
