// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "conv_blocking.h"
#include "conv_drivers.h"
#include "conv_reduction.h"
#include "conv_run.h"
#include "kernels.h"
#include "scratch.h"

namespace cnnkern::cpu {
namespace {

struct TaskScratch {
  int64_t strip, dy, pixels, rows;
  TaskScratch(const Blocks& b, const WeightGradCut& cut, int64_t taps)
      : strip(b.strip_size),
        dy(b.pixels * cut.filter_block),
        pixels(b.pixels),
        rows(taps * cut.channel_block) {}
  int64_t bytes(int64_t element) const {
    return Scratch::size_of<char>(strip * element) + Scratch::size_of<char>(dy * element) +
           Scratch::size_of<int64_t>(pixels) + Scratch::size_of<int64_t>(rows);
  }
};

}  // namespace

void dense_weight_grad(const ConvProblem& g, Algorithm algorithm, const View& dy, const View& x,
                       const View& dw, DataType result, void* db, const ParallelFor& parallel) {
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const int64_t element = compute_size(g.dtype);
  Axes axes = forward_axes(g, x.border);
  const int64_t taps = taps_of(axes);
  WeightGradCall call{};
  const WeightGradCut cut = cut_weight_grad(g, axes, algorithm, k.lanes, k.vectors);
  call.groups = g.groups;
  call.cin = g.c / g.groups;
  call.cout = g.k / g.groups;
  call.channel_block = cut.channel_block;
  call.channel_blocks = cut.channel_blocks;
  call.filter_block = cut.filter_block;
  call.filter_blocks = cut.filter_blocks;
  call.splits = cut.splits;
  static_cast<WeightGradOperands&>(call) = operands_of(g, dy, x, dw, db);
  call.sums_size = cut.sums_size;
  merge_axes(axes, call.xs, call.ys);
  call.blocks = weight_grad_blocks(g, axes, algorithm, g.n, cut.channel_block, cut.filter_block);
  call.blocks.border = x.border;

  Scratch scratch(Scratch::call,
                  2 * Scratch::size_of<int64_t>(taps) +
                      Scratch::size_of<char>(call.tasks() * cut.sums_size * element));
  call.sums = scratch.take<char>(call.tasks() * cut.sums_size * element);
  int64_t* const packed_taps = scratch.take<int64_t>(taps);
  const auto& b = call.blocks.axis;
  tap_offsets(axes, {b[0].tap_pitch, b[1].tap_pitch, b[2].tap_pitch}, packed_taps);
  call.packed_taps = packed_taps;
  if (size_of(g.dtype) == element && (x.stride[1] == 1 || call.cin == 1) &&
      algorithm == Algorithm::direct) {
    int64_t* const in_place = scratch.take<int64_t>(taps);
    tap_offsets(axes, {b[0].step * call.xs[2], b[1].step * call.xs[3], b[2].step * call.xs[4]},
                in_place);
    call.in_place_taps = in_place;
  }

  const double flops = 2.0 * double(g.n) * double(g.k) * double(call.cin) * double(taps) *
                       double(positions_of(axes));
  const TaskScratch task(call.blocks, cut, taps);
  run_tasks(parallel, call.tasks(), flops, [&](int64_t begin, int64_t end) {
    Scratch mine(Scratch::task, task.bytes(element));
    WeightGradScratch parts;
    parts.strip = mine.take<char>(task.strip * element);
    parts.dy = mine.take<char>(task.dy * element);
    parts.source = mine.take<int64_t>(task.pixels);
    parts.row = mine.take<int64_t>(task.rows);
    k.weight_grad(call, parts, begin, end);
  });
  const auto store = kernels().conv->type[int(result)].weight_grad_store;
  run_tasks(parallel, call.tasks() / call.splits, double(call.tasks() * cut.sums_size),
            [&](int64_t begin, int64_t end) { store(call, begin, end); });
}

int64_t dense_weight_grad_workspace(const ConvProblem& problem, Algorithm algorithm,
                                    int64_t threads) {
  const ConvTypeKernels& k = kernels().conv->type[int(problem.dtype)];
  const int64_t element = compute_size(problem.dtype);
  const Axes axes = forward_axes(problem);
  const int64_t taps = taps_of(axes);
  int64_t most = 0;
  // One image makes the smallest tasks, very many the largest and most.
  for (const int64_t images : {int64_t(1), int64_t(1) << 20}) {
    ConvProblem g = problem;
    g.n = images;
    const WeightGradCut cut = cut_weight_grad(g, axes, algorithm, k.lanes, k.vectors);
    const Blocks blocks =
        weight_grad_blocks(g, axes, algorithm, images, cut.channel_block, cut.filter_block);
    const int64_t tasks = g.groups * cut.filter_blocks * cut.channel_blocks * cut.splits;
    most = std::max(most, tasks * cut.sums_size * element +
                              threads * TaskScratch(blocks, cut, taps).bytes(element));
  }
  return most + 2 * Scratch::size_of<int64_t>(taps) + Scratch::kAlignment;
}

}  // namespace cnnkern::cpu
