// SPDX-License-Identifier: BSD-3-Clause
// What the kernel of conv_direct_gather_kernel.h is told: forward convolution and input gradient as
// one matrix product, for up to kAxisPhases phases of each axis (conv_phases.h) in one launch.
//   y[n, m, o] = bias[m] + sum over t, c of x[n, c, o * stride + base + t * step] * w[m, c, t]
// m are the columns of the product: the output channels of a group, or the input channels where an
// input gradient swaps the roles of k and c. All strides are in elements.
#pragma once
#include <type_traits>

#include "index.h"
#include "tensors.h"

namespace cnnkern::cuda {

constexpr int kAxisPhases = 8;

enum class GatherTile { large, medium, thin, small };
// general: terms of the reduction one by one. blocks: source channels of a group are a multiple of
// the 8 terms of a step, so that a step has one tap. vectors: and these channels lie side by side.
enum class GatherLoads { general, blocks, vectors };
// How a thread's neighbouring results lie in the destination: apart, along pixels, along channels.
enum class GatherStores { scalars, pixels, channels };

constexpr int kGatherDepth = 8;

template <class Index>
struct GatherParameters {
  struct Axis {
    Index in, taps, stride, base, step, first, spacing, tap_first, tap_spacing;
    Divisor<Index> out;
  };
  Axis axis[3][kAxisPhases];

  const void *x, *w, *bias;
  void* y;
  Index samples, channels, columns;  // channels and columns of one group
  Index x_sample, x_channel, x_axis[3];
  Index y_sample, y_channel, y_axis[3];
  Index w_group, w_column, w_channel, w_axis[3];
  // A block's number is phase (depth, height, width), group, tile of pixels, tile of columns.
  Divisor<Index> column_tiles, pixel_tiles, groups, height_phases, width_phases;
  GatherStores stores;
  bool pixels_side_by_side;   // in the source: lanes go along pixels, else along the reduction
  bool columns_side_by_side;  // in the filters: lanes go along columns, else along the reduction
  bool relu;
};

// Pixels and columns of a tile.
constexpr int tile_pixels(GatherTile tile) {
  return tile == GatherTile::large    ? 128
         : tile == GatherTile::medium ? 64
         : tile == GatherTile::thin   ? 256
                                      : 32;
}
constexpr int tile_columns(GatherTile tile) {
  return tile == GatherTile::large || tile == GatherTile::medium ? 64 : 16;
}

// Which instances exist: each costs compile time, so int64 offsets and rare combinations have one.
template <class T, class Index>
constexpr bool has_tile(GatherTile tile) {
  if (tile == GatherTile::medium) return true;
  return sizeof(Index) == 4 && (tile != GatherTile::large || std::is_same_v<T, float>);
}
template <class T, class Index>
constexpr bool has_loads(GatherTile tile, GatherLoads loads) {
  if (loads == GatherLoads::general) return tile != GatherTile::large;
  return sizeof(Index) == 4 && tile != GatherTile::small;
}

template <class T, class Index>
void launch_gather(const GatherParameters<Index>&, GatherTile, GatherLoads, unsigned blocks,
                   Stream);

}  // namespace cnnkern::cuda
