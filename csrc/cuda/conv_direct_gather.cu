// SPDX-License-Identifier: BSD-3-Clause
// Forward and input gradient: what a problem is to the kernel of conv_direct_gather_kernel.h.
#include <algorithm>

#include "../problem/text.h"
#include "conv_direct.h"
#include "conv_direct_gather.h"
#include "conv_direct_strides.h"
#include "conv_phases.h"
#include "element.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

struct Gather {
  const ConvProblem& g;
  bool gradient;
  const void* x;
  const WeightView& w;
  const void* bias;
  void* y;
  Stream stream;

  int64_t groups() const { return g.groups; }
  int64_t channels() const { return (gradient ? g.k : g.c) / g.groups; }
  int64_t columns() const { return (gradient ? g.c : g.k) / g.groups; }
  const Extent& source() const { return gradient ? g.output : g.input; }
  const Extent& destination() const { return gradient ? g.input : g.output; }
  int64_t column_stride() const { return w.stride[gradient]; }
  int64_t channel_stride() const { return w.stride[!gradient]; }
};

struct Blocks {
  int64_t column_tiles, pixel_tiles, all;
  Blocks(const Gather& call, const Phases& phases, GatherTile tile)
      : column_tiles(ceil_div(call.columns(), tile_columns(tile))),
        pixel_tiles(ceil_div(most_pixels(phases, call.g.n), tile_pixels(tile))),
        all(column_tiles * pixel_tiles * call.groups() * count_of(phases)) {}
};

GatherLoads choose_loads(const Gather& call) {
  if (call.channels() % kGatherDepth) return GatherLoads::general;
  const bool vectors = call.g.format == Format::channels_last && is_aligned(call.x, 16);
  return vectors ? GatherLoads::vectors : GatherLoads::blocks;
}

template <class T, class Index>
GatherTile choose_tile(const Gather& call, const Phases& phases, GatherLoads loads) {
  const auto enough = [&](GatherTile tile, int64_t blocks) {
    return has_tile<T, Index>(tile) && has_loads<T, Index>(tile, loads) &&
           Blocks(call, phases, tile).all >= blocks;
  };
  const int64_t blocks = conv_direct_enough_blocks();
  if (!has_tile<T, Index>(GatherTile::small)) return GatherTile::medium;
  if (call.columns() <= 2 * tile_columns(GatherTile::thin)) {
    return enough(GatherTile::thin, blocks) ? GatherTile::thin : GatherTile::small;
  }
  if (enough(GatherTile::large, 4 * blocks)) return GatherTile::large;
  return enough(GatherTile::medium, blocks) ? GatherTile::medium : GatherTile::small;
}

GatherStores choose_stores(const Gather& call, const Phases& phases, int64_t element) {
  if (!is_aligned(call.y, 16)) return GatherStores::scalars;
  if (call.g.format == Format::channels_last) {
    return call.columns() % 4 ? GatherStores::scalars : GatherStores::channels;
  }
  bool dense = volume(call.destination()) % std::min<int64_t>(4, 16 / element) == 0;
  for (int i = 0; i < 3; ++i) {
    dense = dense && phases[i].size() == 1 && phases[i][0].out == call.destination()[i];
  }
  return dense ? GatherStores::pixels : GatherStores::scalars;
}

template <class T, class Index>
void launch_phases(const Gather& call, const Phases& phases) {
  GatherLoads loads = choose_loads(call);
  const GatherTile tile = choose_tile<T, Index>(call, phases, loads);
  if (!has_loads<T, Index>(tile, loads)) loads = GatherLoads::general;
  const Blocks blocks(call, phases, tile);

  GatherParameters<Index> p{};
  int64_t last_taps = 1;
  for (int i = 0; i < 3; ++i) {
    for (size_t j = 0; j < phases[i].size(); ++j) {
      const GatherAxis& a = phases[i][j];
      p.axis[i][j] = {Index(a.in),          Index(a.taps),      Index(a.stride),
                      Index(a.base),        Index(a.step),      Index(a.first),
                      Index(a.spacing),     Index(a.tap_first), Index(a.tap_spacing),
                      Divisor<Index>(a.out)};
      if (i == 2) last_taps = std::max(last_taps, a.taps);
    }
    p.w_axis[i] = static_cast<Index>(call.w.stride[i + 2]);
  }
  p.x = call.x;
  p.w = call.w.data;
  p.bias = call.bias;
  p.y = call.y;
  p.samples = static_cast<Index>(call.g.n);
  p.channels = static_cast<Index>(call.channels());
  p.columns = static_cast<Index>(call.columns());
  set_strides(call.g.format, call.channels() * call.groups(), call.source(), p.x_sample,
              p.x_channel, p.x_axis);
  set_strides(call.g.format, call.columns() * call.groups(), call.destination(), p.y_sample,
              p.y_channel, p.y_axis);
  p.w_group = static_cast<Index>(call.g.k / call.g.groups * call.w.stride[0]);
  p.w_column = static_cast<Index>(call.column_stride());
  p.w_channel = static_cast<Index>(call.channel_stride());
  p.column_tiles = Divisor<Index>(blocks.column_tiles);
  p.pixel_tiles = Divisor<Index>(blocks.pixel_tiles);
  p.groups = Divisor<Index>(call.groups());
  p.height_phases = Divisor<Index>(int64_t(phases[1].size()));
  p.width_phases = Divisor<Index>(int64_t(phases[2].size()));
  p.stores = choose_stores(call, phases, size_of(call.g.dtype));
  p.pixels_side_by_side = call.g.format == Format::contiguous;
  const bool taps_first = loads == GatherLoads::general && last_taps > 1;
  p.columns_side_by_side =
      call.column_stride() < (taps_first ? call.w.stride[4] : call.channel_stride());
  p.relu = call.g.relu;
  const int64_t grid = checked_grid(op_of(call.g).c_str(), blocks.all);
  launch_gather<T>(p, tile, loads, static_cast<unsigned>(grid), call.stream);
}

template <class T, class Index>
void run(const Gather& call) {
  for (const Phases& phases : phase_launches(call.g, call.gradient, kAxisPhases))
    launch_phases<T, Index>(call, phases);
}

void run(const Gather& call) {
  with_element(call.g.dtype, [&](auto element) {
    with_index(fits_int32(call.g) && weights_fit_int32(call.g, call.w),
               [&](auto index) { run<decltype(element), decltype(index)>(call); });
  });
}

}  // namespace

void conv_direct_forward(const ConvProblem& g, const void* x, const WeightView& w, const void* bias,
                         void* y, Stream stream) {
  run({g, false, x, w, bias, y, stream});
}

void conv_direct_input_grad(const ConvProblem& g, const void* dy, const WeightView& w,
                            const void* bias, void* dx, Stream stream) {
  run({g, true, dy, w, bias, dx, stream});
}

int64_t& conv_direct_enough_blocks() {
  static int64_t blocks = 66;  // half as many as the multiprocessors of the largest GPUs
  return blocks;
}

}  // namespace cnnkern::cuda
