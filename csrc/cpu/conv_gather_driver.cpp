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
constexpr double kTaskFlops = 1e6;
constexpr int64_t kStoreTerms = 16;  // storing a sum takes as long as so many terms of it

struct Shape {
  int64_t groups, cin, cout;
  double flops;
  Shape(const ConvProblem& g, bool gradient)
      : groups(g.groups), cin(g.c / g.groups), cout(g.k / g.groups) {
    flops = 2.0 * double(g.n) * double(g.k) * double(cin);
    const bool by_output = !gradient;
    for (int i = 0; i < 3; ++i)
      flops *=
          double(g.kernel[i]) * double(by_output ? g.output[i] : std::min(g.output[i], g.input[i]));
    if (gradient) std::swap(cin, cout);
  }
};

int64_t filter_vectors(const Shape& s, const ConvTypeKernels& k) {
  return (s.cout + k.lanes - 1) / k.lanes;
}

// Where no channel lies apart from the next, tiles can read the source as it is.
bool readable_in_place(const ConvProblem& g, const Shape& s, const Strides& xs) {
  return size_of(g.dtype) == compute_size(g.dtype) && (xs[1] == 1 || s.cin == 1);
}

struct TaskScratch {
  int64_t strip, sums, pixels, element;
  int64_t bytes() const {
    return Scratch::size_of<char>(strip * element) + Scratch::size_of<char>(sums * element) +
           3 * Scratch::size_of<int64_t>(pixels);
  }
  void widen(const Blocks& b, const ConvTypeKernels& k) {
    strip = std::max(strip, b.strip_size);
    pixels = std::max(pixels, b.pixels);
    // Transposing stores read whole squares of pixels.
    sums = std::max(sums, (std::min(b.pixels, kPanel) + k.lanes) * k.vectors * k.lanes);
  }
};

// share: of the arithmetic.
Cut cut_of(const ConvProblem& g, Algorithm algorithm, const Shape& s, double share) {
  const double wanted = share * std::min(double(kTasks), s.flops / kTaskFlops);
  return {g.n,
          s.cin,
          compute_size(g.dtype),
          algorithm == Algorithm::im2col,
          kStripBytes,
          std::max<int64_t>(1, int64_t(wanted + 0.5) / s.groups)};
}

double cost_of(const Axes& axes, const Shape& s) {
  return double(positions_of(axes)) * double(s.cin * taps_of(axes) + kStoreTerms);
}

GatherCall call_of(const ConvProblem& g, const Shape& s, Algorithm algorithm, Axes axes,
                   double share, const ConvTypeKernels& k, const Operands& operands,
                   Border border) {
  GatherCall call{operands};
  merge_axes(axes, call.xs, call.ys);
  const Cut cut = cut_of(g, algorithm, s, share);
  call.blocks = cut_blocks(axes, cut);
  call.blocks.border = border;
  call.groups = s.groups;
  call.cin = s.cin;
  call.cout = s.cout;
  const int64_t blocks = call.blocks.count();
  const int64_t filter_blocks = (filter_vectors(s, k) + k.vectors - 1) / k.vectors;
  call.filter_parts =
      blocks ? std::clamp<int64_t>(cut.tasks / blocks, 1, std::max<int64_t>(1, filter_blocks)) : 1;
  return call;
}

}  // namespace

void gather_conv(const ConvProblem& g, Direction direction, Algorithm algorithm, const View& x,
                 const View& w, const Addends& added, const View& y, const ParallelFor& parallel) {
  const bool gradient = direction == Direction::input_grad;
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const Shape shape(g, gradient);
  InputGradPhases split{{}, true};
  if (gradient)
    split = input_grad_phases(g);
  else
    split.phases.push_back(forward_axes(g, x.border));
  if (!split.complete) {
    // A gather without taps: zeros (or the bias) everywhere, before the phases that have some.
    Axes none{};
    for (int i = 0; i < 3; ++i) none[i] = {g.input[i], g.input[i], 0, 1, 0, 1, 0, 1, 0, 1};
    split.phases.insert(split.phases.begin(), none);
  }

  const bool in_place = readable_in_place(g, shape, x.stride) && algorithm == Algorithm::direct;
  const std::vector<Region> regions = cut_regions(split, x.border, false);

  const int64_t element = compute_size(g.dtype), padded = filter_vectors(shape, k) * k.lanes;
  std::vector<GatherCall> calls;
  TaskScratch task{};
  task.element = element;
  int64_t filters = 0, chunks = 0, runs = 0;
  double cost = 0;
  for (const Axes& axes : split.phases)
    filters += shape.groups * padded * shape.cin * taps_of(axes);
  for (const Region& region : regions) cost += cost_of(region.axes, shape);
  for (const Region& region : regions) {
    const Axes& axes = region.axes;
    calls.push_back(call_of(g, shape, algorithm, axes, cost_of(axes, shape) / std::max(cost, 1.0),
                            k, operands_of(g, x, added, y), x.border));
    task.widen(calls.back().blocks, k);
    chunks += 2 * count_chunks(axes, shape.cin);
    runs += 2 * count_runs(axes, shape.cin);
  }
  Scratch scratch(Scratch::call, Scratch::size_of<char>(filters * element) +
                                     Scratch::size_of<Chunk>(chunks) + Scratch::size_of<Run>(runs));
  char* packed = scratch.take<char>(filters * element);
  Chunk* next_chunk = scratch.take<Chunk>(chunks);
  Run* next_run = scratch.take<Run>(runs);

  std::vector<FilterPack> packs;
  for (const Axes& axes : split.phases) {
    packs.push_back({w.data, w.stride[gradient], w.stride[!gradient], g.k / g.groups * w.stride[0],
                     w.stride, axes, shape.groups, shape.cout, shape.cin, packed});
    packed += shape.groups * padded * shape.cin * taps_of(axes) * element;
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    GatherCall& call = calls[i];
    const Axes &axes = regions[i].axes, &phase = split.phases[regions[i].phase];
    call.filters = packs[regions[i].phase].packed;
    call.filter_terms = shape.cin * taps_of(phase);
    call.filter_group = padded * call.filter_terms;
    call.chunks = count_chunks(axes, shape.cin);
    const auto& b = call.blocks.axis;
    const auto fill = [&](const Extent& pitch) {
      const Chunk* const at = next_chunk;
      fill_chunks(axes, phase, pitch, shape.cin, next_chunk, next_run);
      next_chunk += call.chunks;
      next_run += count_runs(axes, shape.cin);
      return at;
    };
    call.packed_chunks = fill({b[0].tap_pitch, b[1].tap_pitch, b[2].tap_pitch});
    if (in_place && call.chunks)
      call.in_place_chunks =
          fill({b[0].step * call.xs[2], b[1].step * call.xs[3], b[2].step * call.xs[4]});
  }

  const int64_t vectors = shape.groups * filter_vectors(shape, k);
  run_tasks(parallel, vectors * int64_t(packs.size()), double(filters) * 4,
            [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end;) {
                const int64_t pack = i / vectors, stop = std::min(end, (pack + 1) * vectors);
                k.pack_filters(packs[size_t(pack)], i - pack * vectors, stop - pack * vectors);
                i = stop;
              }
            });

  const auto run = [&](size_t first, size_t last) {
    TaskLine line;
    for (size_t i = first; i < last; ++i) {
      const GatherCall& call = calls[i];
      const int64_t terms = shape.cin * taps_of(regions[i].axes);
      line.add(call.tasks(), double(call.blocks.pixels) * double(terms + kStoreTerms) /
                                 double(call.filter_parts));
    }
    line.run(parallel, shape.flops, [&](const auto& each) {
      Scratch mine(Scratch::task, task.bytes());
      GatherScratch parts;
      parts.strip = mine.take<char>(task.strip * element);
      parts.sums = mine.take<char>(task.sums * element);
      parts.source = mine.take<int64_t>(task.pixels);
      parts.destination = mine.take<int64_t>(task.pixels);
      parts.stretch = mine.take<int64_t>(task.pixels);
      each([&](size_t i, int64_t begin, int64_t end) {
        k.gather(calls[first + i], parts, begin, end);
      });
    });
  };
  const size_t fill = split.complete ? 0 : 1;
  run(0, fill);
  run(fill, calls.size());
}

int64_t gather_conv_workspace(const ConvProblem& g, Direction direction, Algorithm algorithm,
                              int64_t threads) {
  const bool gradient = direction == Direction::input_grad;
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const Shape shape(g, gradient);
  InputGradPhases split{{}, true};
  if (gradient)
    split = input_grad_phases(g);
  else
    split.phases.push_back(forward_axes(g));
  TaskScratch task{};
  task.element = compute_size(g.dtype);
  int64_t filters = 0, tables = 0;
  for (const Axes& axes : split.phases)
    filters += shape.groups * filter_vectors(shape, k) * k.lanes * shape.cin * taps_of(axes);
  for (const auto& [axes, phase] : cut_regions(split, Border::zeros, false)) {
    // Blocks grow with the batch until they fill a strip: ask for the largest.
    Cut cut = cut_of(g, algorithm, shape, 1);
    cut.images = int64_t(1) << 20;
    cut.tasks = 1;
    task.widen(cut_blocks(axes, cut), k);
    tables += 2 * (count_chunks(axes, shape.cin) * int64_t(sizeof(Chunk)) +
                   count_runs(axes, shape.cin) * int64_t(sizeof(Run)));
  }
  return filters * task.element + tables + threads * task.bytes() + 4 * Scratch::kAlignment;
}

}  // namespace cnnkern::cpu
