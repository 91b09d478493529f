// SPDX-License-Identifier: BSD-3-Clause
// How a convolution is cut into tasks, and what scratch they need: pure functions of the problem,
// the same for every instruction set. The plan asks them too.
#pragma once
#include "conv_kernels_table.h"

namespace cnnkern::cpu {

// A strip that packs the source of one block. Direct keeps neighbours shared between taps; im2col
// gives each output a row of its own with all taps.
constexpr int64_t kStripBytes = int64_t(256) << 10;    // what blocks are cut for: half a small L2
constexpr int64_t kMaxStripBytes = int64_t(16) << 20;  // direct is refused above this
constexpr int64_t kMaxSumsBytes = int64_t(32) << 20;   // partial sums of a split weight gradient

// The strip of the smallest block that direct could cut, in bytes: depends on taps and channels of
// a group, not on the image. Compare it with kMaxStripBytes.
int64_t direct_strip_bytes(const ConvProblem&, Direction);
struct Cut {
  int64_t images, channels, element_size;
  bool row_a_pixel;     // im2col
  int64_t strip_bytes;  // aim
  int64_t tasks;        // blocks that are wanted, where that leaves them large enough
};
Blocks cut_blocks(const Axes&, const Cut&);

// The weight gradient's tasks: filters and channels of each, and how many share the images.
struct WeightGradCut {
  int64_t channel_block, channel_blocks, filter_block, filter_blocks, splits;
  int64_t sums_size;  // elements of a task's sums
};
WeightGradCut cut_weight_grad(const ConvProblem&, const Axes&, Algorithm, int64_t lanes,
                              int64_t vectors);
Blocks weight_grad_blocks(const ConvProblem&, const Axes&, Algorithm, int64_t images,
                          int64_t channel_block, int64_t filter_block);

// Adds trivial axes (one tap, nothing padded, no stride) to the next inner one where memory allows.
void merge_axes(Axes&, Strides& source, Strides& destination);

inline int64_t compute_size(DataType type) { return type == DataType::float64 ? 8 : 4; }

}  // namespace cnnkern::cpu
