// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <atomic>
#include <vector>

#include "conv_blocking.h"
#include "conv_drivers.h"
#include "conv_reduction.h"
#include "conv_run.h"
#include "conv_winograd.h"
#include "kernels.h"
#include "scratch.h"

namespace cnnkern::cpu {
namespace {

constexpr int64_t kTasks = 8;       // wanted, where each has enough to do
constexpr int64_t kMostTiles = 48;  // of a task: so many rows each read of the filters serves
constexpr int64_t kLeastTiles = 24;
constexpr int64_t kSourceBytes = int64_t(4) << 20;  // of a task's transformed source, about
constexpr int64_t kFilterBytes = int64_t(16) << 20;
constexpr int64_t kLine = kCacheLine / int64_t(sizeof(float));

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t unit) { return divide_up(a, unit) * unit; }

struct Shape {
  int64_t groups, cin, cout;
  Axes axes;  // rounded up to whole tiles
  Extent out;
  bool empty;

  Shape(const ConvProblem& g, Direction direction)
      : groups(g.groups), cin(g.c / g.groups), cout(g.k / g.groups), empty(false) {
    if (direction == Direction::input_grad) {
      const auto phases = input_grad_phases(g).phases;
      empty = phases.empty();
      if (!empty) axes = phases[0];
      std::swap(cin, cout);
    } else {
      axes = forward_axes(g);
    }
    if (empty) return;
    for (int i = 0; i < 3; ++i) {
      out[i] = axes[i].out;
      if (i) axes[i].out = round_up(axes[i].out, kWinogradTile);
    }
  }
};

// Whole rows of tiles where that fits, some images where they are small.
Blocks tile_blocks(const Shape& s, int64_t images) {
  const int64_t most = std::clamp(
      kSourceBytes / (kWinogradPoints * std::max<int64_t>(1, s.cin) * int64_t(sizeof(float))),
      kLeastTiles, kMostTiles);
  const int64_t rows = s.axes[1].out / kWinogradTile, columns = s.axes[2].out / kWinogradTile;
  int64_t size[3] = {1, 1, std::min(columns, most)};  // images, rows and columns of tiles
  const int64_t all[3] = {std::max<int64_t>(1, images), rows, columns};
  if (size[2] == columns) size[1] = std::min(rows, std::max<int64_t>(1, most / columns));
  if (size[1] == rows) size[0] = std::min(all[0], std::max<int64_t>(1, most / (rows * columns)));
  const auto blocks = [&] {
    int64_t count = s.groups;
    for (int i = 0; i < 3; ++i) count *= divide_up(all[i], size[i]);
    return count;
  };
  for (int i = 0; i < 3 && blocks() < kTasks; ++i)
    while (size[i] > 1 && blocks() < kTasks && size[0] * size[1] * size[2] >= 2 * kLeastTiles)
      size[i] = divide_up(size[i], 2);

  Blocks b{};
  b.images = images;
  b.image_block = divide_up(all[0], divide_up(all[0], size[0]));
  b.image_blocks = divide_up(images, b.image_block);
  b.channels = s.cin;
  int64_t pitch = s.cin;
  b.pixels = b.image_block;
  for (int i = 2; i >= 0; --i) {
    BlockAxis& axis = b.axis[i];
    static_cast<Axis&>(axis) = s.axes[i];
    axis.block = i ? divide_up(all[i], divide_up(all[i], size[i])) * kWinogradTile : 1;
    axis.blocks = divide_up(axis.out, axis.block);
    axis.dense = true;
    axis.pitch = axis.out_pitch = axis.tap_pitch = pitch;
    pitch *= axis.block + axis.taps - 1;
    b.pixels *= axis.block;
  }
  b.image_pitch = pitch;
  b.strip_size = b.image_block * pitch;
  return b;
}

struct TaskSizes {
  int64_t strip, sources, products, sums, tiles, pixels;
  TaskSizes(const Shape& s, const Blocks& b, const ConvTypeKernels& k) {
    pixels = b.pixels;
    tiles = pixels / (kWinogradTile * kWinogradTile);
    strip = b.strip_size + k.lanes;
    sources = kWinogradPoints * (tiles * round_up(s.cin, k.lanes) + kLine);
    products = kWinogradPoints * (tiles * k.vectors * k.lanes + kLine);
    // Transposing stores read whole squares of pixels.
    sums = (pixels + k.lanes) * k.vectors * k.lanes;
  }
  int64_t bytes() const {
    return Scratch::size_of<float>(strip) + Scratch::size_of<float>(sources) +
           Scratch::size_of<float>(products) + Scratch::size_of<float>(sums) +
           Scratch::size_of<int64_t>(tiles) + 2 * Scratch::size_of<int64_t>(pixels);
  }
};

// Filters are transformed in passes of so many blocks of vectors: much more would not stay in the
// caches, and fresh memory for it would cost more than what it saves.
struct FilterSizes {
  int64_t vectors, all_blocks, blocks;  // of a group; of a pass
  int64_t taps, points;                 // elements of a group; of a group in a pass
  FilterSizes(const Shape& s, const ConvTypeKernels& k) {
    vectors = divide_up(s.cout, k.lanes);
    all_blocks = divide_up(vectors, k.vectors);
    const int64_t block = kWinogradPoints * (k.vectors * k.lanes * s.cin + kLine);
    const int64_t most = kFilterBytes / (s.groups * block * int64_t(sizeof(float)));
    const int64_t passes = divide_up(all_blocks, std::max<int64_t>(1, most));
    blocks = divide_up(all_blocks, std::max<int64_t>(1, passes));
    taps = vectors * k.lanes * s.cin * 9;
    points = blocks * block;
  }
  int64_t bytes(const Shape& s) const {
    return Scratch::size_of<float>(s.groups * taps) + Scratch::size_of<float>(s.groups * points);
  }
};

// Of one point: a single tap that is always inside.
Axes one_tap() {
  Axes axes{};
  for (Axis& axis : axes) axis = {1, 1, 1, 1, 0, 1, 0, 1, 0, 1};
  return axes;
}

}  // namespace

void winograd_conv(const ConvProblem& g, Direction direction, const View& x, const View& w,
                   const Addends& added, const View& y, const ParallelFor& parallel) {
  const Shape s(g, direction);
  // A tile rounded up may reach past what another border than zeros reads.
  if (s.empty || x.border != Border::zeros)
    return gather_conv(g, direction, Algorithm::direct, x, w, added, y, parallel);
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  const bool gradient = direction == Direction::input_grad;

  WinogradCall call{};
  call.blocks = tile_blocks(s, g.n);
  call.out = s.out;
  call.groups = s.groups;
  call.cin = s.cin;
  call.cout = s.cout;
  static_cast<Operands&>(call) = operands_of(g, x, added, y);
  const FilterSizes filters(s, k);
  const Axes tap = one_tap();
  call.chunks = count_chunks(tap, s.cin);
  const int64_t runs = count_runs(tap, s.cin);
  Scratch scratch(Scratch::call, filters.bytes(s) + Scratch::size_of<Chunk>(call.chunks) +
                                     Scratch::size_of<Run>(runs));
  float* const packed = scratch.take<float>(s.groups * filters.taps);
  float* const transformed = scratch.take<float>(s.groups * filters.points);
  Chunk* const chunk = scratch.take<Chunk>(call.chunks);
  fill_chunks(tap, tap, {0, 0, 0}, s.cin, chunk, scratch.take<Run>(runs));
  call.chunk = chunk;
  call.filters = transformed;
  call.filter_group = filters.points;

  const FilterPack pack{w.data,
                        w.stride[gradient],
                        w.stride[!gradient],
                        g.k / g.groups * w.stride[0],
                        w.stride,
                        s.axes,
                        s.groups,
                        s.cout,
                        s.cin,
                        packed};
  const TaskSizes sizes(s, call.blocks, k);
  std::atomic<bool> finite{true};
  const auto pass = [&](int64_t first, int64_t count) {
    const WinogradFilters transform{packed, transformed, s.cout,        s.cin,
                                    first,  count,       filters.points};
    run_tasks(parallel, s.groups * count, double(s.groups * filters.points) * 8,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t at = (first + i % count) * k.vectors;
                  const int64_t group = i / count * filters.vectors;
                  k.pack_filters(pack, group + at,
                                 group + std::min(at + k.vectors, filters.vectors));
                  k.winograd_filters(transform, i, i + 1);
                }
              });
    call.first_filter_block = first;
    call.filter_blocks = count;
    call.filter_parts = std::clamp<int64_t>(
        kTasks / std::max<int64_t>(1, call.blocks.count() * s.groups), 1, count);
    const double flops = 2.0 * double(g.n) * double(s.groups) * double(s.cin) * double(s.cout) *
                         double(kWinogradPoints) * double(sizes.tiles);
    run_tasks(parallel, call.tasks(), flops, [&](int64_t begin, int64_t end) {
      Scratch mine(Scratch::task, sizes.bytes());
      WinogradScratch parts;
      parts.strip = mine.take<float>(sizes.strip);
      parts.sources = mine.take<float>(sizes.sources);
      parts.products = mine.take<float>(sizes.products);
      parts.sums = mine.take<float>(sizes.sums);
      parts.source = mine.take<int64_t>(sizes.tiles);
      parts.destination = mine.take<int64_t>(sizes.pixels);
      parts.stretch = mine.take<int64_t>(sizes.pixels);
      if (!k.winograd(call, parts, begin, end)) finite = false;
    });
  };
  for (int64_t first = 0; first < filters.all_blocks; first += filters.blocks)
    pass(first, std::min(filters.blocks, filters.all_blocks - first));
  if (!finite) gather_conv(g, direction, Algorithm::direct, x, w, added, y, parallel);
}

int64_t winograd_conv_workspace(const ConvProblem& g, Direction direction, int64_t threads) {
  const Shape s(g, direction);
  if (s.empty) return 0;
  const ConvTypeKernels& k = kernels().conv->type[int(g.dtype)];
  // Blocks grow with the batch until they have their tiles: ask for the largest.
  const TaskSizes sizes(s, tile_blocks(s, int64_t(1) << 20), k);
  const Axes tap = one_tap();
  return FilterSizes(s, k).bytes(s) + count_chunks(tap, s.cin) * int64_t(sizeof(Chunk)) +
         count_runs(tap, s.cin) * int64_t(sizeof(Run)) + threads * sizes.bytes() +
         4 * Scratch::kAlignment;
}

}  // namespace cnnkern::cpu
