// SPDX-License-Identifier: BSD-3-Clause
#include "conv_implicit_gemm_cut.h"

#include <algorithm>
#include <limits>

#include "conv_implicit_gemm.h"
#include "conv_phases.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

constexpr int64_t kPart = 256;  // bytes that parts of the workspace are a multiple of
// Of the sums of parts that have blocks of their own.
constexpr int64_t kMostSplitBytes = int64_t{16} << 20;
// Of a weight gradient: blocks of a wave, one for each multiprocessor of the largest GPUs; pixels
// of a split at least; how many terms take as long as a block's beginning, and as the way of its
// sums to memory and back: of 128x128 sums 8 bytes each, where all blocks move 4.3 TB/s and do 540
// TFLOP/s.
constexpr int64_t kBlocksAtOnce = 132, kLeastPixels = 256, kTermsOfBlock = 32, kTermsOfSplit = 500;
// Images with more have tiles enough; of shorter parts a block's beginning and end take too much.
constexpr int64_t kMostSmallPixels = 256, kLeastPartSteps = 16, kMostParts = 8;

int64_t round_up(int64_t a, int64_t unit) { return ceil_div(a, unit) * unit; }

int64_t step_of(const ConvProblem& g) { return kImplicitStepBytes / size_of(g.dtype); }

int64_t columns_of(const ConvProblem& g, Direction direction) {
  return (direction == Direction::forward ? g.k : g.c) / g.groups;
}

bool takes_steps(const ConvProblem& g, Direction direction) {
  return gathered_operand(g, direction).padded % step_of(g) == 0;
}

// Pixels of a sample in the largest phase.
int64_t phase_pixels(const ConvProblem& g, Direction direction) {
  if (direction == Direction::forward) return volume(g.output);
  int64_t pixels = 1;
  for (size_t i = 0; i < 3; ++i) pixels *= ceil_div(g.input[i], g.stride[i]);
  return pixels;
}

// Of the phase that has the most.
int64_t phase_taps(const ConvProblem& g, Direction direction) {
  int64_t all = 1;
  for (int i = 0; i < 3; ++i) {
    if (direction == Direction::forward) {
      all *= forward_phase(g, i).taps;
      continue;
    }
    int64_t most = 0;
    for (const GatherAxis& phase : input_grad_phases_with_taps(g, i))
      most = std::max(most, phase.taps);
    all *= most;
  }
  return all;
}

int64_t split_bytes(const ConvProblem& g, Direction direction, int64_t parts) {
  int64_t pixels = implicit_gemm_samples(g, direction) * phase_pixels(g, direction);
  for (size_t i = 0; i < 3 && direction != Direction::forward; ++i)
    pixels *= std::max<int64_t>(1, std::min(g.stride[i], g.input[i]));
  return 4 * parts * pixels * g.groups * round_up(columns_of(g, direction), 2);
}

// Whose waves of blocks take the shortest, with the way of the sums to memory: few splits may leave
// the last wave almost empty.
int64_t best_splits(int64_t tiles, int64_t pixels, int64_t most) {
  int64_t best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t splits = 1; splits <= std::clamp<int64_t>(most, 1, kBlocksAtOnce); ++splits) {
    const int64_t waves = ceil_div(tiles * splits, kBlocksAtOnce);
    const double terms = double(waves * (ceil_div(pixels, splits) + kTermsOfBlock)) +
                         double(tiles * splits * kTermsOfSplit) / double(kBlocksAtOnce);
    if (terms >= least) continue;
    least = terms;
    best = splits;
  }
  return best;
}

}  // namespace

ImplicitParts implicit_parts(const ConvProblem& g, Direction direction) {
  if (direction == Direction::weight_grad || !takes_steps(g, direction) ||
      phase_pixels(g, direction) > kMostSmallPixels)
    return {1, 0};
  const int64_t all = gathered_operand(g, direction).padded / step_of(g) * phase_taps(g, direction);
  const int64_t parts = std::min(all / kLeastPartSteps, kMostParts);
  if (parts < 2) return {1, 0};
  const int64_t steps = ceil_div(all, parts);
  return {ceil_div(all, steps), steps};
}

std::vector<ImplicitCut> implicit_cuts(const ConvProblem& g, Direction direction) {
  const bool large =
      takes_steps(g, direction) && columns_of(g, direction) > mma_columns(MmaTileSize::medium);
  const int64_t parts = implicit_parts(g, direction).count;
  const bool may_split = parts > 1 && split_bytes(g, direction, parts) <= kMostSplitBytes;
  std::vector<ImplicitCut> cuts;
  cuts.reserve(6);
  for (const int64_t split : {int64_t{1}, parts}) {
    if (large) cuts.push_back({MmaTileSize::large, split});
    cuts.push_back({MmaTileSize::medium, split});
    cuts.push_back({MmaTileSize::small, split});
    if (!may_split) break;
  }
  return cuts;
}

ImplicitWeightGradCut cut_implicit_weight_grad(const ConvProblem& g) {
  const int64_t channels = weight_grad_operands(g).x.padded;
  ImplicitWeightGradCut cut{};
  cut.rows = g.k / g.groups;
  cut.columns = volume(g.kernel) * channels;
  cut.tile = cut.rows <= 64      ? MmaTileSize::small
             : cut.columns <= 64 ? MmaTileSize::medium
                                 : MmaTileSize::large;
  const int64_t most_bytes = implicit_most_sums_bytes();
  const int64_t tile_rows = mma_rows(cut.tile), row_bytes = 4 * g.groups * (cut.columns + 1);
  cut.pass_rows = cut.rows;
  if (g.groups == 1 && row_bytes * cut.rows > most_bytes)
    cut.pass_rows = std::max(most_bytes / row_bytes / tile_rows, int64_t{1}) * tile_rows;
  cut.row_tiles = ceil_div(cut.pass_rows, tile_rows);
  cut.column_tiles = ceil_div(cut.columns, mma_columns(cut.tile));
  const int64_t pixels = implicit_gemm_samples(g, Direction::weight_grad) * volume(g.output);
  const int64_t tiles = std::max<int64_t>(1, cut.row_tiles * cut.column_tiles * g.groups);
  cut.splits = 1;
  const int64_t most = most_bytes / std::max<int64_t>(1, 4 * cut.sums(g.groups));
  cut.splits = best_splits(tiles, pixels, std::min(pixels / kLeastPixels, most));
  cut.split_pixels = round_up(ceil_div(pixels, cut.splits), 32);
  cut.splits = std::max<int64_t>(1, ceil_div(pixels, cut.split_pixels));
  return cut;
}

int64_t& implicit_most_sums_bytes() {
  static int64_t bytes = int64_t{64} << 20;
  return bytes;
}

ImplicitWorkspace implicit_gemm_workspace(const ConvProblem& g, Direction direction,
                                          int64_t split) {
  const int64_t samples = implicit_gemm_samples(g, direction);
  ImplicitWorkspace parts{};
  if (direction == Direction::weight_grad) {
    const WeightGradOperands both = weight_grad_operands(g);
    parts.first = samples * both.dy.sample_bytes;
    parts.second = samples * both.x.sample_bytes;
    parts.sums = round_up(4 * cut_implicit_weight_grad(g).sums(g.groups), kPart);
    return parts;
  }
  const ImplicitOperand source = gathered_operand(g, direction);
  const int64_t columns = columns_of(g, direction) * g.groups;
  parts.filters = round_up(columns * volume(g.kernel) * source.padded * size_of(g.dtype), kPart);
  parts.first = samples * source.sample_bytes;
  if (split > 1) parts.sums = round_up(split_bytes(g, direction, split), kPart);
  return parts;
}

int64_t conv_implicit_gemm_workspace_bytes(const ConvProblem& g, Direction direction,
                                           int64_t split) {
  return implicit_gemm_workspace(g, direction, split).bytes();
}

int64_t conv_implicit_gemm_most_workspace_bytes(const ConvProblem& g, Direction direction) {
  ConvProblem any = g;
  any.n = std::numeric_limits<int32_t>::max();
  const int64_t sums = implicit_parts(g, direction).count > 1 ? kMostSplitBytes : 0;
  return implicit_gemm_workspace(any, direction, 1).bytes() + sums;
}

}  // namespace cnnkern::cuda
