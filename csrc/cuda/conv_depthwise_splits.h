// SPDX-License-Identifier: BSD-3-Clause
// How a depthwise weight gradient is shared out: blocks of 256 threads have some channels and a
// share of the pixels (a split); each thread sums its own pixels for one channel. A second kernel
// adds the splits in their order. All of it follows from the problem alone, so results have the
// same bits on every device.
#pragma once
#include <cstdint>

#include "../problem/conv_problem.h"
#include "conv_depthwise_tiles.h"

namespace cnnkern::cuda {

constexpr int kWeightGradThreads = 256;
constexpr int kWeightGradTaps = 32;  // of one block, at most
constexpr int64_t kBlockedTerms = 128;

struct WeightGradShares {
  int64_t channels, lanes;  // of a block: channels, and threads for each of them
  int64_t rows, width;      // of a unit, what a block takes at once: rows of dy, pixels of each
  int64_t row_units, width_units, units;  // units of an image by axis, of all images
  int64_t tap_groups, splits;
};

WeightGradShares weight_grad_shares(const ConvProblem&);

// Splits that keep the GPU busy, and the partial sums few; independent of the batch.
int64_t most_splits(const ConvProblem&, int64_t blocks);

// With square filters: all tiles of a channel tile, and how they are shared out.
int64_t square_weight_units(const SquareTiles&);
int64_t square_weight_splits(const ConvProblem&);

}  // namespace cnnkern::cuda
