// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <vector>

#include "conv_blocking.h"
#include "conv_drivers.h"
#include "conv_reduction.h"
#include "conv_run.h"
#include "kernels.h"
#include "scratch.h"

namespace cnnkern::cpu {
namespace {

constexpr int64_t kTasks = 16;  // wanted, where each has enough to do
constexpr double kTaskFlops = 2e5;
constexpr int64_t kStoreTaps = 4;  // storing a sum takes as long as so many taps of it

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Channels of a task, in whole vectors: where they lie side by side, enough to read long pieces;
// else as many as a few cache lines of each plane can serve.
int64_t channel_block(int64_t channels, bool innermost, int64_t lanes) {
  const int64_t vectors = divide_up(std::max<int64_t>(1, channels), lanes);
  const int64_t most = innermost ? std::max<int64_t>(1, 128 / lanes) : 2;
  return divide_up(vectors, divide_up(vectors, most)) * lanes;
}

double flops_of(const ConvProblem& g, const Axes& axes) {
  return 2.0 * double(g.n) * double(g.k) * double(taps_of(axes)) * double(positions_of(axes));
}

Cut cut_of(const ConvProblem& g, double flops, int64_t block, int64_t blocks, int64_t strips) {
  const int64_t wanted = int64_t(std::min(double(kTasks), flops / kTaskFlops));
  return {g.n,
          block,
          compute_size(g.dtype),
          false,
          kStripBytes / 2 / strips,
          divide_up(std::max<int64_t>(1, wanted), std::max<int64_t>(1, blocks))};
}

struct TaskScratch {
  int64_t strip = 0, sums = 0, pixels = 0, element = 0;
  void widen(const Blocks& b, int64_t strips, const ConvTypeKernels& k) {
    strip = std::max(strip, b.strip_size * strips);
    pixels = std::max(pixels, b.pixels);
    sums = std::max(sums, (std::min(b.pixels, kPanel) + k.lanes) * k.lanes);
  }
  int64_t bytes() const {
    return Scratch::size_of<char>(strip * element) + Scratch::size_of<char>(sums * element) +
           3 * Scratch::size_of<int64_t>(pixels);
  }
};

InputGradPhases phases_of(const ConvProblem& g, Direction direction,
                          Border border = Border::zeros) {
  if (direction == Direction::input_grad) return input_grad_phases(g);
  return {{forward_axes(g, border)}, true};
}

}  // namespace

void depthwise_conv(const ConvProblem& g, Direction direction, const View& x, const View& w,
                    const Addends& added, const View& y, const ParallelFor& parallel) {
  const bool gradient = direction == Direction::input_grad;
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const int64_t element = compute_size(g.dtype), multiplier = g.k / g.c;
  const int64_t padded = divide_up(g.c, k.lanes) * k.lanes;
  InputGradPhases split = phases_of(g, direction, x.border);
  if (!split.complete) {
    // A gather without taps: zeros (or the bias) everywhere, before the phases that have some.
    Axes none{};
    for (int i = 0; i < 3; ++i) none[i] = {g.input[i], g.input[i], 0, 1, 0, 1, 0, 1, 0, 1};
    split.phases.insert(split.phases.begin(), none);
  }

  DepthwiseCall common{};
  common.channels = g.c;
  common.in_parts = gradient ? multiplier : 1;
  common.out_parts = gradient ? 1 : multiplier;
  common.channel_block = channel_block(g.c, x.stride[1] * common.in_parts == 1, k.lanes);
  common.channel_blocks = divide_up(g.c, common.channel_block);
  static_cast<Operands&>(common) = operands_of(g, x, added, y);
  const bool readable =
      size_of(g.dtype) == element && g.c % k.lanes == 0 && x.stride[1] * common.in_parts == 1;

  // What can be read as it is, but for the padding around it, is cut to be.
  const std::vector<Region> regions = cut_regions(split, x.border, readable);
  std::vector<DepthwiseCall> calls;
  TaskScratch task;
  task.element = element;
  int64_t taps = 0, filter_taps = 0;
  double flops = 0;
  for (const Axes& phase : split.phases) filter_taps += taps_of(phase);
  for (const Region& region : regions) {
    calls.push_back(common);
    const double work = flops_of(g, region.axes);
    calls.back().blocks = cut_blocks(
        region.axes, cut_of(g, work, common.channel_block, common.channel_blocks, common.in_parts));
    calls.back().blocks.border = x.border;
    task.widen(calls.back().blocks, common.in_parts, k);
    taps += taps_of(region.axes);
    flops += work;
  }
  const int64_t filters = padded * multiplier * filter_taps;
  Scratch scratch(Scratch::call,
                  Scratch::size_of<char>(filters * element) + 3 * Scratch::size_of<int64_t>(taps));
  char* packed = scratch.take<char>(filters * element);
  int64_t* offsets = scratch.take<int64_t>(3 * taps);
  std::vector<const void*> filters_of;
  for (const Axes& phase : split.phases) {
    const FilterPack pack{
        w.data, multiplier * w.stride[0], 0, w.stride[0], w.stride, phase, multiplier, g.c, 1,
        packed};
    k.pack_filters(pack, 0, multiplier * divide_up(g.c, k.lanes));
    filters_of.push_back(packed);
    packed += padded * multiplier * taps_of(phase) * element;
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    DepthwiseCall& call = calls[i];
    const Axes &axes = regions[i].axes, &phase = split.phases[regions[i].phase];
    const auto& b = call.blocks.axis;
    const auto fill = [&](const Extent& pitch) {
      tap_offsets(axes, pitch, offsets);
      offsets += taps_of(axes);
      return offsets - taps_of(axes);
    };
    call.packed_taps = fill({b[0].tap_pitch, b[1].tap_pitch, b[2].tap_pitch});
    const int64_t* const in_place =
        fill({b[0].step * x.stride[2], b[1].step * x.stride[3], b[2].step * x.stride[4]});
    if (readable && taps_of(axes)) call.in_place_taps = in_place;
    call.filters = filters_of[regions[i].phase];
    call.filter_count = taps_of(phase);
    call.filter_taps = offsets;
    packed_taps(axes, phase, offsets);
    offsets += taps_of(axes);
  }

  const auto run = [&](size_t first, size_t last) {
    TaskLine line;
    for (size_t i = first; i < last; ++i)
      line.add(calls[i].tasks(),
               double(calls[i].blocks.pixels) * double(taps_of(regions[i].axes) + kStoreTaps));
    line.run(parallel, flops * 4, [&](const auto& each) {
      Scratch mine(Scratch::task, task.bytes());
      GatherScratch parts;
      parts.strip = mine.take<char>(task.strip * element);
      parts.sums = mine.take<char>(task.sums * element);
      parts.source = mine.take<int64_t>(task.pixels);
      parts.destination = mine.take<int64_t>(task.pixels);
      parts.stretch = mine.take<int64_t>(task.pixels);
      each([&](size_t i, int64_t begin, int64_t end) {
        k.depthwise(calls[first + i], parts, begin, end);
      });
    });
  };
  const size_t fill = split.complete ? 0 : 1;
  run(0, fill);
  run(fill, calls.size());
}

int64_t depthwise_conv_workspace(const ConvProblem& g, Direction direction, int64_t threads) {
  const bool gradient = direction == Direction::input_grad;
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const int64_t multiplier = g.k / g.c, strips = gradient ? multiplier : 1;
  TaskScratch task;
  task.element = compute_size(g.dtype);
  int64_t taps = 0, filter_taps = 0;
  const InputGradPhases split = phases_of(g, direction);
  for (const Axes& phase : split.phases) filter_taps += taps_of(phase);
  // Either layout, and a batch that fills a strip.
  for (const bool innermost : {false, true}) {
    int64_t all = 0;
    for (const Region& region : cut_regions(split, Border::zeros, innermost)) {
      Cut cut = cut_of(g, 0, channel_block(g.c, innermost, k.lanes), 1, strips);
      cut.images = int64_t(1) << 20;
      task.widen(cut_blocks(region.axes, cut), strips, k);
      all += taps_of(region.axes);
    }
    taps = std::max(taps, all);
  }
  return divide_up(g.c, k.lanes) * k.lanes * multiplier * filter_taps * task.element +
         3 * taps * int64_t(sizeof(int64_t)) + threads * task.bytes() + 4 * Scratch::kAlignment;
}

namespace {

struct WeightGradPlan {
  DepthwiseWeightGradCall call{};
  int64_t taps, element;
  WeightGradPlan(const ConvProblem& g, bool innermost, int64_t images, const Axes& axes,
                 const ConvTypeKernels& k)
      : taps(taps_of(axes)), element(compute_size(g.dtype)) {
    call.channels = g.c;
    call.parts = g.k / g.c;
    call.channel_block = channel_block(g.c, innermost, k.lanes);
    call.channel_blocks = divide_up(g.c, call.channel_block);
    call.splits = divide_up(kTasks, std::max<int64_t>(1, call.channel_blocks));
    call.blocks =
        cut_blocks(axes, {images, call.channel_block, element, false, kStripBytes / 2, 1});
    call.sums_size = call.channel_block * call.parts * (taps + 1);
  }
  int64_t sums() const { return call.tasks() * call.sums_size; }
  int64_t call_bytes() const {
    return Scratch::size_of<char>(sums() * element) + 2 * Scratch::size_of<int64_t>(taps);
  }
  int64_t dy() const { return call.blocks.pixels * call.channel_block; }
  int64_t task_bytes() const {
    return Scratch::size_of<char>(call.blocks.strip_size * element) +
           Scratch::size_of<char>(dy() * element) + Scratch::size_of<int64_t>(call.blocks.pixels);
  }
};

}  // namespace

void depthwise_weight_grad(const ConvProblem& g, const View& dy, const View& x, const View& dw,
                           DataType result, void* db, const ParallelFor& parallel) {
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const Axes axes = forward_axes(g, x.border);
  WeightGradPlan plan(g, x.stride[1] == 1, g.n, axes, k);
  DepthwiseWeightGradCall& call = plan.call;
  call.blocks.border = x.border;
  static_cast<WeightGradOperands&>(call) = operands_of(g, dy, x, dw, db);
  Scratch scratch(Scratch::call, plan.call_bytes());
  call.sums = scratch.take<char>(plan.sums() * plan.element);
  int64_t* const packed = scratch.take<int64_t>(plan.taps);
  const auto& b = call.blocks.axis;
  tap_offsets(axes, {b[0].tap_pitch, b[1].tap_pitch, b[2].tap_pitch}, packed);
  call.packed_taps = packed;
  if (size_of(g.dtype) == plan.element && x.stride[1] == 1 && g.c % k.lanes == 0) {
    int64_t* const in_place = scratch.take<int64_t>(plan.taps);
    tap_offsets(axes, {b[0].step * x.stride[2], b[1].step * x.stride[3], b[2].step * x.stride[4]},
                in_place);
    call.in_place_taps = in_place;
  }
  run_tasks(parallel, call.tasks(), 4 * flops_of(g, axes), [&](int64_t begin, int64_t end) {
    Scratch mine(Scratch::task, plan.task_bytes());
    WeightGradScratch parts{};
    parts.strip = mine.take<char>(call.blocks.strip_size * plan.element);
    parts.dy = mine.take<char>(plan.dy() * plan.element);
    parts.source = mine.take<int64_t>(call.blocks.pixels);
    k.depthwise_weight_grad(call, parts, begin, end);
  });
  const auto store = kernels().conv->type[int(result)].depthwise_weight_grad_store;
  run_tasks(parallel, call.channel_blocks, double(plan.sums()) * 4,
            [&](int64_t begin, int64_t end) { store(call, begin, end); });
}

int64_t depthwise_weight_grad_workspace(const ConvProblem& g, int64_t threads) {
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const Axes axes = forward_axes(g);
  int64_t most = 0;
  for (const bool innermost : {false, true}) {
    const WeightGradPlan plan(g, innermost, int64_t(1) << 20, axes, k);
    most = std::max(most, plan.call_bytes() + threads * plan.task_bytes());
  }
  return most + Scratch::kAlignment;
}

}  // namespace cnnkern::cpu
