// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <vector>

#include "conv_blocking.h"
#include "conv_drivers.h"
#include "conv_pixels.h"
#include "conv_reduction.h"
#include "conv_run.h"
#include "kernels.h"
#include "scratch.h"

namespace cnnkern::cpu {
namespace {

constexpr int64_t kTasks = 16;  // wanted, where each has enough to do
constexpr double kTaskFlops = 5e5;
constexpr int64_t kTerms = 64, kMostTerms = 128;  // added up by themselves
constexpr int64_t kChannels = 16;                 // a cache line, where they lie side by side
constexpr int64_t kColumns = 512;                 // of a block, at most
constexpr int64_t kSumsBytes = 96 << 10;          // of a block of several rows
constexpr int64_t kMostBytes = 1 << 20;           // of a strip of one row

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t unit) { return divide_up(a, unit) * unit; }

// A call without its pointers, and what its tasks need. Blocks grow with the images.
struct Layout {
  PixelCall call{};
  InputGradPhases split{{}, true};
  int64_t lanes, element, strip = 0, sums = 0, taps = 0;
  double flops = 0;

  Layout(const ConvProblem& g, Direction direction, int64_t images, const ConvTypeKernels& k)
      : lanes(k.lanes), element(compute_size(g.dtype)) {
    const bool gradient = direction == Direction::input_grad;
    if (gradient)
      split = input_grad_phases(g);
    else
      split.phases.push_back(forward_axes(g));
    call.images = images;
    call.groups = g.groups;
    call.cin = (gradient ? g.k : g.c) / g.groups;
    call.cout = (gradient ? g.c : g.k) / g.groups;
    for (const Axes& axes : split.phases) taps += taps_of(axes);
    if (!taps) return;
    measure();
    cut();
  }

  // Positions that no tap reaches, and strips too large for any cache, are left to the gather.
  bool serves() const { return split.complete && taps && strip * element <= kMostBytes; }
  int64_t filters() const { return call.groups * lanes * call.cin * taps; }
  int64_t task_bytes() const {
    return Scratch::size_of<char>(strip * element) + Scratch::size_of<char>(sums * element);
  }

 private:
  void measure() {
    int64_t most = 1;
    for (int i = 0; i < 3; ++i) {
      const Axis& any = split.phases[0][i];
      int64_t end = any.base + 1;
      call.first[i] = any.base;
      for (const Axes& axes : split.phases) {
        const Axis& axis = axes[i];
        call.lattice[i] = std::max(call.lattice[i], axis.out);
        call.first[i] = std::min(call.first[i], axis.base);
        end = std::max(end, axis.base + (axis.taps - 1) * axis.step + 1);
      }
      call.reach[i] = end - call.first[i];
      call.stride[i] = any.stride;
      call.in[i] = any.in;
    }
    for (const Axes& axes : split.phases) {
      most = std::max(most, taps_of(axes));
      flops += 2.0 * double(call.images) * double(call.groups * call.cin * call.cout) *
               double(taps_of(axes)) * double(positions_of(axes));
    }
    // A strip of all channels would have few rows, most of which the next one packs again.
    call.channels = std::min(call.cin, round_up(divide_up(kTerms, most), kChannels));
    call.segment_taps = std::max<int64_t>(1, kMostTerms / call.channels);
  }

  // Sizes of a block of so many rows; whether they stay in the cache.
  bool fits(int64_t rows) {
    call.slice = ((rows - 1) * call.stride[1] + call.reach[1]) * call.row;
    // Planes a whole number of pages apart would all meet in the same few places of a cache.
    const int64_t line = kCacheLine / element;
    call.plane = (divide_up(call.reach[0] * call.slice, line) | 1) * line;
    strip = call.channels * call.plane + lanes;
    call.sums_plane = round_up(rows * call.row, lanes) + lanes;
    sums = int64_t(split.phases.size()) * call.cout * call.sums_plane;
    return strip * element <= kStripBytes && sums * element <= kSumsBytes;
  }

  void cut() {
    const auto& [depth, height, width] = call.lattice;
    const int64_t wide = divide_up(width, kColumns), columns = divide_up(width, wide);
    const int64_t read = columns - 1 + call.reach[2], whole = round_up(columns, lanes);
    call.run_on = call.stride[1] == 1 && 4 * read <= 5 * whole;
    call.row = call.run_on ? read : std::max(read, whole);
    int64_t low = 1, high = height;
    while (low < high) {
      const int64_t rows = low + (high - low + 1) / 2;
      if (fits(rows))
        low = rows;
      else
        high = rows - 1;
    }
    int64_t down = divide_up(height, low);
    // More blocks where there are too few to share, as long as they read little twice.
    const double wanted = std::min(double(kTasks), flops / kTaskFlops);
    const int64_t across = call.images * call.groups * depth * wide;
    while (double(across * down) < wanted && divide_up(height, down) > 2 * call.reach[1]) ++down;
    call.block = {1, divide_up(height, down), columns};
    fits(call.block[1]);
    for (int i = 0; i < 3; ++i) call.blocks[i] = divide_up(call.lattice[i], call.block[i]);
  }
};

}  // namespace

bool pixels_conv(const ConvProblem& g, Direction direction, const View& x, const View& w,
                 const Addends& added, const View& y, const ParallelFor& parallel) {
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  if (x.border != Border::zeros || !pixels_serve(g, direction, k.lanes)) return false;
  Layout layout(g, direction, g.n, k);
  if (!layout.serves()) return false;
  const bool gradient = direction == Direction::input_grad;
  const int64_t element = layout.element;
  PixelCall& call = layout.call;
  static_cast<Operands&>(call) = operands_of(g, x, added, y);

  Scratch scratch(Scratch::call, Scratch::size_of<char>(layout.filters() * element) +
                                     Scratch::size_of<int64_t>(layout.taps));
  char* packed = scratch.take<char>(layout.filters() * element);
  int64_t* taps = scratch.take<int64_t>(layout.taps);
  std::vector<FilterPack> packs;
  std::vector<PixelPhase> phases;
  for (const Axes& axes : layout.split.phases) {
    packs.push_back({w.data, w.stride[gradient], w.stride[!gradient], g.k / g.groups * w.stride[0],
                     w.stride, axes, call.groups, call.cout, call.cin, packed});
    phases.push_back({axes, packed, taps});
    tap_offsets(axes, {axes[0].step * call.slice, axes[1].step * call.row, axes[2].step}, taps);
    const int64_t begin = (axes[0].base - call.first[0]) * call.slice +
                          (axes[1].base - call.first[1]) * call.row + axes[2].base - call.first[2];
    for (int64_t i = 0; i < taps_of(axes); ++i) *taps++ += begin;
    packed += call.groups * layout.lanes * call.cin * taps_of(axes) * element;
  }
  call.phases = phases.data();
  call.phase_count = int64_t(phases.size());

  run_tasks(parallel, call.groups * call.phase_count, double(layout.filters()) * 4,
            [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i)
                k.pack_filters(packs[size_t(i / call.groups)], i % call.groups,
                               i % call.groups + 1);
            });
  run_tasks(parallel, call.tasks(), layout.flops, [&](int64_t begin, int64_t end) {
    Scratch mine(Scratch::task, layout.task_bytes());
    PixelScratch parts;
    parts.strip = mine.take<char>(layout.strip * element);
    parts.sums = mine.take<char>(layout.sums * element);
    k.pixels(call, parts, begin, end);
  });
  return true;
}

int64_t pixels_conv_workspace(const ConvProblem& g, Direction direction, int64_t threads) {
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  if (!pixels_serve(g, direction, k.lanes)) return 0;
  const Layout layout(g, direction, int64_t(1) << 20, k);
  if (!layout.serves()) return 0;
  return layout.filters() * layout.element + layout.taps * int64_t(sizeof(int64_t)) +
         threads * layout.task_bytes() + 4 * Scratch::kAlignment;
}

}  // namespace cnnkern::cpu
