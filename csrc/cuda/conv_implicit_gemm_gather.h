// SPDX-License-Identifier: BSD-3-Clause
// What the kernel of conv_implicit_gemm_gather_kernel.h is told: forward convolution and input
// gradient as one matrix product, for up to kAxisPhases phases of each axis (conv_phases.h) in one
// launch.
//   y[n, m, o] = bias[m] + sum over t, c of x[n, c, o * stride + base + t * step] * w[m, c, t]
// m are the columns of the product: the output channels of a group, or the input channels where an
// input gradient swaps the roles of k and c. Channels of x lie side by side, in groups of a
// multiple of what one copy moves. All strides are in elements.
#pragma once
#include "conv_direct_gather.h"
#include "conv_implicit_gemm_cut.h"
#include "index.h"
#include "tensors.h"

namespace cnnkern::cuda {

struct ImplicitGatherParameters {
  struct Axis {
    int32_t in, taps, stride, base, step, first, spacing;
    int32_t w_first, w_step;  // of the filters: the first tap's offset, from a tap to the next
    Divisor<int32_t> out;
  };
  Axis axis[3][kAxisPhases];

  const void *x, *w, *bias;
  const void* residual;  // lies as y does, and is added to it before the ReLU; or null
  void* y;
  int32_t samples, channels, columns;  // channels and columns of one group
  int32_t x_sample, x_group, x_axis[3];
  int32_t y_sample, y_channel, y_axis[3];
  int32_t w_group, w_column, w_channel;
  int32_t part_steps;  // 0: a sum is one part
  // Where parts have blocks of their own: [phase][part][group][phase_pixels][sum_columns].
  float* sums;
  Divisor<int32_t> phase_pixels, sum_columns;  // of the largest phase; an even number
  // A block's number is phase (depth, height, width), part, group, tile of pixels, tile of columns.
  Divisor<int32_t> column_tiles, pixel_tiles, groups, parts, height_phases, width_phases;
  bool relu;
  bool vectors;  // 16 bytes of neighbouring channels of y lie at a multiple of 16
};

// steps: channels of a group are a multiple of a step's terms, so that a step has one tap.
// steps_across: and the columns of the filters lie side by side, not the terms of the reduction.
// chunks, half_chunks: each copy, of 16 or 8 bytes, has a tap of its own.
enum class ImplicitLoads { steps, steps_across, chunks, half_chunks };

// Taps along an axis: whether each is inside of the image is a bit of a word.
constexpr int64_t kMostTaps = 32;
constexpr int kGatherSumsThreads = 256;

template <class T>
void launch_implicit_gather(const ImplicitGatherParameters&, MmaTileSize, ImplicitLoads,
                            unsigned blocks, Stream);
// Adds the parts that lie in p.sums, all `elements` of a part in all phases, and stores y.
template <class T>
void launch_implicit_gather_sums(const ImplicitGatherParameters&, int64_t elements, Stream);

}  // namespace cnnkern::cuda
