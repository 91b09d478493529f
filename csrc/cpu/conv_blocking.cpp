// SPDX-License-Identifier: BSD-3-Clause
#include "conv_blocking.h"

#include <algorithm>

namespace cnnkern::cpu {
namespace {

constexpr int64_t kMaxPixels = 2048;  // of a block: its tables stay small beside the strip
constexpr int64_t kMinPixels = 96;    // below this, tiles wait for filters
constexpr int64_t kLongStripBytes = int64_t(2) << 20;  // of a block that is small otherwise

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t dense_extent(const Axis& axis, int64_t block) {
  return (block - 1) * axis.stride + (axis.taps - 1) * axis.step + 1;
}
bool is_dense(const Axis& axis, int64_t block) {
  return dense_extent(axis, block) <= axis.taps * block;
}
int64_t extent(const Axis& axis, int64_t block) {
  if (!axis.taps) return 0;
  return std::min(dense_extent(axis, block), axis.taps * block);
}

using Sizes = std::array<int64_t, 4>;  // images, depth, height, width of a block

int64_t strip_size(const Axes& axes, const Sizes& size, const Cut& cut) {
  const int64_t image = cut.row_a_pixel ? taps_of(axes) * size[1] * size[2] * size[3]
                                        : extent(axes[0], size[1]) * extent(axes[1], size[2]) *
                                              extent(axes[2], size[3]);
  return size[0] * image * cut.channels;
}

bool fits(const Axes& axes, const Sizes& size, const Cut& cut) {
  const int64_t pixels = size[0] * size[1] * size[2] * size[3];
  const int64_t bytes = strip_size(axes, size, cut) * cut.element_size;
  // A long reduction's filters are read from far away by every block: few pixels wait for them.
  return bytes <= cut.strip_bytes ? pixels <= kMaxPixels
                                  : pixels <= kPanel && bytes <= kLongStripBytes;
}

// The largest size along one axis that still fits, made even over the blocks that it takes.
void grow(const Axes& axes, Sizes& size, int i, int64_t limit, const Cut& cut) {
  int64_t low = 1, high = limit;
  while (low < high) {
    size[i] = low + (high - low + 1) / 2;
    if (fits(axes, size, cut))
      low = size[i];
    else
      high = size[i] - 1;
  }
  size[i] = divide_up(limit, divide_up(limit, low));
}

Blocks layout(const Axes& axes, const Sizes& size, const Cut& cut) {
  Blocks b{};
  b.images = cut.images;
  b.image_block = size[0];
  b.image_blocks = divide_up(cut.images, size[0]);
  b.channels = cut.channels;
  b.pixels = size[0] * size[1] * size[2] * size[3];
  b.strip_size = strip_size(axes, size, cut);
  int64_t pitch = cut.channels, tap_pitch = cut.channels, out_pitch = taps_of(axes) * cut.channels;
  for (int i = 2; i >= 0; --i) {
    BlockAxis& axis = b.axis[i];
    static_cast<Axis&>(axis) = axes[i];
    axis.block = size[i + 1];
    axis.blocks = divide_up(axis.out, axis.block);
    axis.dense = !cut.row_a_pixel && is_dense(axis, axis.block);
    axis.pitch = pitch;
    if (cut.row_a_pixel) {
      axis.tap_pitch = tap_pitch;
      axis.out_pitch = out_pitch;
      tap_pitch *= axis.taps;
      out_pitch *= axis.block;
    } else {
      axis.out_pitch = axis.dense ? axis.stride * pitch : pitch;
      axis.tap_pitch = axis.dense ? axis.step * pitch : axis.block * pitch;
      pitch *= extent(axis, axis.block);
    }
  }
  b.image_pitch = cut.row_a_pixel ? out_pitch : pitch;
  return b;
}

Axes axes_of_one_tap_set(const ConvProblem& g, Direction direction) {
  if (direction != Direction::input_grad) return forward_axes(g);
  // The phase with the most taps: every (stride / gcd)th of each axis, at most.
  Axes most{};
  for (const Axes& phase : input_grad_phases(g).phases)
    if (taps_of(phase) >= taps_of(most)) most = phase;
  return most;
}

int64_t source_channels(const ConvProblem& g, Direction direction) {
  return (direction == Direction::input_grad ? g.k : g.c) / std::max<int64_t>(1, g.groups);
}

}  // namespace

int64_t direct_strip_bytes(const ConvProblem& g, Direction direction) {
  const Cut cut{1, source_channels(g, direction), compute_size(g.dtype), false, 0, 1};
  return strip_size(axes_of_one_tap_set(g, direction), {1, 1, 1, 1}, cut) * cut.element_size;
}

Blocks cut_blocks(const Axes& axes, const Cut& cut) {
  Sizes size{1, 1, 1, 1};
  const int64_t limit[4] = {std::max<int64_t>(1, cut.images), axes[0].out, axes[1].out,
                            axes[2].out};
  for (int i = 3; i >= 0; --i) {
    grow(axes, size, i, limit[i], cut);
    if (size[i] < limit[i]) break;
  }
  // More blocks where there are too few to share: whole images first, then rows.
  for (int i = 0; i < 4; ++i) {
    int64_t blocks = 1;
    for (int j = 0; j < 4; ++j) blocks *= std::min(divide_up(limit[j], size[j]), cut.tasks);
    const int64_t pixels = size[0] * size[1] * size[2] * size[3];
    if (blocks >= cut.tasks || pixels <= kMinPixels) break;
    const int64_t parts = std::min({divide_up(cut.tasks, blocks), size[i], pixels / kMinPixels});
    size[i] = divide_up(size[i], std::max<int64_t>(1, parts));
  }
  return layout(axes, size, cut);
}

WeightGradCut cut_weight_grad(const ConvProblem& g, const Axes& axes, Algorithm algorithm,
                              int64_t lanes, int64_t vectors) {
  constexpr int64_t kTasks = 16;                // wanted
  constexpr int64_t kSums = int64_t(96) << 10;  // elements of a task's sums, about
  constexpr int64_t kSharePixels = 1024, kMinRows = 96;
  const int64_t cin = g.c / g.groups, cout = g.k / g.groups;
  const int64_t taps = std::max<int64_t>(1, taps_of(axes)), wide = lanes * vectors;
  const auto up = [](int64_t a, int64_t unit) { return divide_up(a, unit) * unit; };
  WeightGradCut cut{};
  cut.filter_block =
      std::min(up(std::max<int64_t>(1, cout), lanes), up(taps == 1 ? 256 : 128, wide));
  cut.channel_block =
      std::clamp<int64_t>(kSums / (cut.filter_block * taps), 1, std::max<int64_t>(1, cin));
  if (algorithm == Algorithm::im2col)
    cut.channel_block = std::clamp<int64_t>(kMaxStripBytes / (taps * compute_size(g.dtype) * 16), 1,
                                            cut.channel_block);
  if (cin) cut.channel_block = divide_up(cin, divide_up(cin, cut.channel_block));
  cut.filter_blocks = std::max<int64_t>(1, divide_up(cout, cut.filter_block));
  // As even as whole tiles are: threads share the blocks.
  cut.filter_block = std::min(cut.filter_block, up(divide_up(cout, cut.filter_blocks), wide));
  // Each share of the images writes all sums: it has to add up many pixels. Where there are few,
  // tasks come from fewer channels each, down to about what a packed dy pays for.
  const int64_t shares = std::max<int64_t>(1, g.n * positions_of(axes) / kSharePixels);
  const auto channel_blocks = [&] {
    return std::max<int64_t>(1, divide_up(cin, cut.channel_block));
  };
  const auto tasks = [&] { return g.groups * cut.filter_blocks * channel_blocks(); };
  while (tasks() * shares < kTasks && cut.channel_block > 1 &&
         cut.channel_block * taps >= 2 * kMinRows)
    cut.channel_block = divide_up(cut.channel_block, 2);
  cut.channel_blocks = channel_blocks();
  cut.sums_size = cut.filter_block * (taps * cut.channel_block + 1);
  const int64_t fit = kMaxSumsBytes / (tasks() * cut.sums_size * compute_size(g.dtype));
  cut.splits = std::max<int64_t>(1, std::min({fit, shares, divide_up(kTasks, tasks())}));
  return cut;
}

Blocks weight_grad_blocks(const ConvProblem& g, const Axes& axes, Algorithm algorithm,
                          int64_t images, int64_t channel_block, int64_t filter_block) {
  // dy's panel lies beside the strip: leave it room.
  const int64_t size = compute_size(g.dtype);
  const int64_t strip = kStripBytes * channel_block / (channel_block + filter_block / 4 + 1);
  return cut_blocks(axes, {images, channel_block, size, algorithm == Algorithm::im2col,
                           std::max<int64_t>(strip, 32 << 10), 1});
}

void merge_axes(Axes& axes, Strides& source, Strides& destination) {
  for (int i = 1; i >= 0; --i) {
    const auto trivial = [&](const Axis& axis) {
      return axis.taps == 1 && axis.stride == 1 && axis.base == 0 && axis.in == axis.out &&
             axis.spacing == 1 && axis.first == 0;
    };
    Axis &outer = axes[i], &inner = axes[2];
    if (outer.out == 1 && outer.in == 1) continue;
    if (!trivial(outer) || !trivial(inner) || source[i + 2] != inner.in * source[4] ||
        destination[i + 2] != inner.out * destination[4])
      return;
    inner.in *= outer.in;
    inner.out *= outer.out;
    outer.in = outer.out = 1;
  }
}

}  // namespace cnnkern::cpu
