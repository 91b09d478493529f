// SPDX-License-Identifier: BSD-3-Clause
#include "conv_implicit_gemm_operands.h"

#include <algorithm>

#include "grid.h"
#include "sizes.h"
#include "wide.h"

namespace cnnkern::cuda {
namespace {

constexpr int64_t kPart = 256;  // bytes that parts of the workspace are a multiple of

int64_t round_up(int64_t a, int64_t unit) { return ceil_div(a, unit) * unit; }

// Elements of a chunk of 16 bytes.
int64_t chunk_of(const ConvProblem& g) { return 16 / size_of(g.dtype); }

ImplicitOperand operand(const ConvProblem& g, int64_t channels, const Extent& size, bool halves) {
  const int64_t chunk = chunk_of(g), pixels = volume(size);
  const int64_t unit = halves && chunk > 4 && (channels <= 4 || channels % chunk) ? 4 : chunk;
  // Of one pixel, or one channel, both formats are the same.
  const bool side_by_side =
      g.format == Format::channels_last || pixels == 1 || channels * g.groups == 1;
  const bool packed = !side_by_side || channels % unit != 0;
  // A copy is filled up to whole chunks, unless half a chunk holds all.
  const int64_t padded =
      packed && channels > 4 ? round_up(channels, chunk) : round_up(channels, unit);
  const int64_t bytes = packed ? round_up(pixels * g.groups * padded * size_of(g.dtype), kPart) : 0;
  return {channels, padded, pixels, packed, bytes};
}

int64_t samples_of(const ConvProblem& g, int64_t packed_bytes) {
  // Offsets leave room for a block's overshoot.
  constexpr int64_t kMost = (int64_t{1} << 31) - (int64_t{1} << 20);
  const int64_t largest = std::max(
      {g.c * volume(g.input), g.k * volume(g.output), packed_bytes / size_of(g.dtype), int64_t{1}});
  int64_t samples = always_wide() ? 1 : kMost / largest;
  if (packed_bytes > 0) samples = std::min(samples, kMostPackedBytes / packed_bytes);
  return std::clamp<int64_t>(samples, 1, std::max<int64_t>(1, g.n));
}

}  // namespace

ImplicitOperand gathered_operand(const ConvProblem& g, Direction direction) {
  return direction == Direction::forward ? operand(g, g.c / g.groups, g.input, true)
                                         : operand(g, g.k / g.groups, g.output, true);
}

WeightGradOperands weight_grad_operands(const ConvProblem& g) {
  return {operand(g, g.k / g.groups, g.output, false), operand(g, g.c / g.groups, g.input, false)};
}

int64_t implicit_gemm_samples(const ConvProblem& g, Direction direction) {
  if (direction != Direction::weight_grad)
    return samples_of(g, gathered_operand(g, direction).sample_bytes);
  const WeightGradOperands both = weight_grad_operands(g);
  return samples_of(g, both.dy.sample_bytes + both.x.sample_bytes);
}

}  // namespace cnnkern::cuda
