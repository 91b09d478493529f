// SPDX-License-Identifier: BSD-3-Clause
// How the implicit matrix product is cut into tiles and its sums into parts, and the workspace that
// follows from it. No CUDA: plans choose among the cuts and ask for the workspace.
#pragma once
#include <vector>

#include "conv_implicit_gemm_operands.h"

namespace cnnkern::cuda {

enum class MmaTileSize { large, medium, small };
constexpr int mma_rows(MmaTileSize size) { return size == MmaTileSize::small ? 64 : 128; }
constexpr int mma_columns(MmaTileSize size) { return size == MmaTileSize::large ? 128 : 64; }

// Of a forward or an input gradient. Small images make few tiles of long sums: there a sum is made
// of parts, which are added in order. Where they begin depends neither on the batch, nor the tile,
// nor the device, and so the bits of a result do not either.
struct ImplicitParts {
  int64_t count;  // of the longest sums
  int64_t steps;  // of kImplicitStepBytes, of one part; 0 where there is but one
};
ImplicitParts implicit_parts(const ConvProblem&, Direction);

struct ImplicitCut {
  MmaTileSize tile;
  // Blocks that share a sum: 1, or as many as it has parts, which a second kernel adds.
  int64_t split;
};
// Those that serve, larger tiles first.
std::vector<ImplicitCut> implicit_cuts(const ConvProblem&, Direction);

// Of a weight gradient: the sum over pixels is made of splits, of a block each, which a second
// kernel adds in order. The same on every device, so that results have the same bits.
struct ImplicitWeightGradCut {
  MmaTileSize tile;
  int64_t rows, columns;  // of one group
  int64_t pass_rows;      // so many of them at a time, where the sums of all take too much memory
  int64_t row_tiles, column_tiles, splits, split_pixels;  // of one pass

  int64_t sums(int64_t groups) const { return splits * groups * pass_rows * (columns + 1); }
};
ImplicitWeightGradCut cut_implicit_weight_grad(const ConvProblem&);
// What the sums of a weight gradient should not exceed. Tests lower it, for passes of small
// filters.
int64_t& implicit_most_sums_bytes();

// The parts of the workspace, one after the other, each a multiple of 256 bytes.
struct ImplicitWorkspace {
  int64_t filters, first, second, sums;
  int64_t bytes() const { return filters + first + second + sums; }
};
ImplicitWorkspace implicit_gemm_workspace(const ConvProblem&, Direction, int64_t split);

}  // namespace cnnkern::cuda
