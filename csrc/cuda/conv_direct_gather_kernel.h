// SPDX-License-Identifier: BSD-3-Clause
// Direct convolution and its input gradient: an implicit matrix product on CUDA cores.
//   rows: pixels of all samples in one phase (n, d, h, w); columns: output channels of a group
//   reduction: (channel, tap), taps fastest, in blocks of 8 channels where channels divide by 8
// A block owns a Tile of it. Filters of one channel lie side by side, and neighbouring taps read
// the same source values, so a step's loads hit what earlier steps brought into L1. The order of
// every sum depends on the reduction alone: not on the batch, not on the tile.
#pragma once
#include <limits>

#include "conv_direct_gather.h"
#include "conv_direct_place.h"
#include "gemm_tile.h"
#include "grid.h"
#include "launch.h"

namespace cnnkern::cuda {

// Offsets of 64 bits and sums in double leave registers for one block of a multiprocessor.
template <int bytes, GatherTile tile>
struct GatherTileOf;
template <int bytes>
struct GatherTileOf<bytes, GatherTile::large> {
  using type = Tile<256, 2, 128, 64, 8, 4, kGatherDepth>;
};
template <int bytes>
struct GatherTileOf<bytes, GatherTile::medium> {
  using type = Tile<256, bytes == 4 ? 2 : 1, 64, 64, 4, 4, kGatherDepth>;
};
template <int bytes>
struct GatherTileOf<bytes, GatherTile::thin> {
  using type = Tile<256, bytes == 4 ? 2 : 1, 256, 16, 4, 4, kGatherDepth>;
};
template <int bytes>
struct GatherTileOf<bytes, GatherTile::small> {
  using type = Tile<64, 8 / (bytes / 4), 32, 16, 4, 2, kGatherDepth>;
};

// A row of the tile. Offsets of taps in the padding wrap around, and are never used.
template <class Index>
struct GatherPixel {
  using Offset = std::make_unsigned_t<Index>;
  Index d, h, w;      // source position of tap 0
  Offset source;      // its offset
  Index destination;  // -1 past the last pixel
};

template <class T, class Index, class Tile>
__device__ void store_gather(const GatherParameters<Index>& p, const GatherPixel<Index>* pixels,
                             Index group, Index first_column,
                             const TileSums<Compute<T>, Tile>& sums) {
  using A = Compute<T>;
  constexpr int kRunM = kLanes<T> < Tile::kRun ? kLanes<T> : Tile::kRun;
  constexpr int kRunN = kLanes<T> < Tile::kThreadN ? kLanes<T> : Tile::kThreadN;
  const Index column = first_column + Tile::column(0);
  T* const y = static_cast<T*>(p.y) + (group * p.columns + column) * p.y_channel;

  A bias[Tile::kThreadN];
#pragma unroll
  for (int j = 0; j < Tile::kThreadN; ++j) {
    const bool given = p.bias && column + j < p.columns;
    bias[j] = given ? widen(static_cast<const T*>(p.bias)[group * p.columns + column + j]) : A(0);
  }
  const auto value = [&](int i, int j) {
    const A v = sums.total[i][j] + bias[j];
    return narrow<T>(p.relu && v <= 0 ? A(0) : v);  // NaN stays
  };

  if (p.stores == GatherStores::pixels) {
#pragma unroll
    for (int i = 0; i < Tile::kThreadM; i += kRunM) {
      const Index at = pixels[Tile::row(i)].destination;
#pragma unroll
      for (int j = 0; j < Tile::kThreadN; ++j) {
        Vector<T, kRunM> run;
#pragma unroll
        for (int l = 0; l < kRunM; ++l) run.value[l] = value(i + l, j);
        if (at >= 0 && column + j < p.columns) store(y + at + j * p.y_channel, run);
      }
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < Tile::kThreadM; ++i) {
    const Index at = pixels[Tile::row(i)].destination;
    if (p.stores == GatherStores::channels) {
#pragma unroll
      for (int j = 0; j < Tile::kThreadN; j += kRunN) {
        Vector<T, kRunN> run;
#pragma unroll
        for (int l = 0; l < kRunN; ++l) run.value[l] = value(i, j + l);
        if (at >= 0 && column + j < p.columns) store(y + at + j, run);
      }
    } else {
#pragma unroll
      for (int j = 0; j < Tile::kThreadN; ++j) {
        if (at >= 0 && column + j < p.columns) y[at + j * p.y_channel] = value(i, j);
      }
    }
  }
}

template <class T, class Index, class Tile, GatherLoads loads>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    conv_gather_kernel(const GatherParameters<Index> p) {
  using A = Compute<T>;
  using Offset = std::make_unsigned_t<Index>;
  CK_SMEM(raw);
  A* const buffers = reinterpret_cast<A*>(raw);
  GatherPixel<Index>* const pixels =
      reinterpret_cast<GatherPixel<Index>*>(raw + 2 * Tile::kStep * sizeof(A));
  const int thread = static_cast<int>(threadIdx.x);

  Index rest = static_cast<Index>(blockIdx.x);
  const Index first_column = pop(rest, p.column_tiles) * Tile::kN;
  const Index first_pixel = pop(rest, p.pixel_tiles) * Tile::kM;
  const Index group = pop(rest, p.groups);
  const Index phase_w = pop(rest, p.width_phases), phase_h = pop(rest, p.height_phases);
  const auto &d = p.axis[0][rest], &h = p.axis[1][phase_h], &w = p.axis[2][phase_w];
  const Index count = p.samples * d.out.d * h.out.d * w.out.d;
  if (first_pixel >= count) return;  // the whole block: phases differ in size

  if (thread < Tile::kM) {
    // Positions so low that no tap lies inside.
    constexpr Index kNowhere = std::numeric_limits<Index>::min();
    GatherPixel<Index> pixel{kNowhere, 0, 0, 0, -1};
    if (first_pixel + thread < count) {
      Index n = first_pixel + thread;
      const Index ow = pop(n, w.out), oh = pop(n, h.out), od = pop(n, d.out);
      pixel.d = od * d.stride + d.base;
      pixel.h = oh * h.stride + h.base;
      pixel.w = ow * w.stride + w.base;
      pixel.source = Offset(n) * Offset(p.x_sample) + Offset(pixel.d) * Offset(p.x_axis[0]) +
                     Offset(pixel.h) * Offset(p.x_axis[1]) + Offset(pixel.w) * Offset(p.x_axis[2]);
      pixel.destination = n * p.y_sample + (d.first + od * d.spacing) * p.y_axis[0] +
                          (h.first + oh * h.spacing) * p.y_axis[1] +
                          (w.first + ow * w.spacing) * p.y_axis[2];
    }
    pixels[thread] = pixel;
  }
  __syncthreads();

  // Of each step a thread loads the source at one term (with vectors at kWidth of them) for kRowsA
  // pixels, and the filters at one term for kRowsB columns.
  constexpr int kWidth = loads == GatherLoads::vectors ? kLanes<T> : 1;
  constexpr int kPlaces = Tile::kDepth / kWidth;         // loads that a pixel's step takes
  constexpr int kSpanA = Tile::kThreads / kPlaces;       // pixels that the block loads at once
  constexpr int kSpanB = Tile::kThreads / Tile::kDepth;  // columns
  constexpr int kRowsA = (Tile::kM + kSpanA - 1) / kSpanA;
  constexpr int kRowsB = (Tile::kN + kSpanB - 1) / kSpanB;
  const bool along_pixels = kWidth == 1 && p.pixels_side_by_side;
  const int term_a = (along_pixels ? thread / kSpanA : thread % kPlaces) * kWidth;
  const int row_a = along_pixels ? thread % kSpanA : thread / kPlaces;
  const int term_b = p.columns_side_by_side ? thread / kSpanB : thread % Tile::kDepth;
  const int row_b = p.columns_side_by_side ? thread % kSpanB : thread / Tile::kDepth;

  GatherPixel<Index> mine[kRowsA];
#pragma unroll
  for (int i = 0; i < kRowsA; ++i) {
    const int row = row_a + i * kSpanA;
    if (row < Tile::kM) mine[i] = pixels[row];
  }
  const T* const x = static_cast<const T*>(p.x) + group * p.channels * p.x_channel;
  const T* const filters = static_cast<const T*>(p.w) + group * p.w_group;
  const Offset filters_base = Offset(d.tap_first) * Offset(p.w_axis[0]) +
                              Offset(h.tap_first) * Offset(p.w_axis[1]) +
                              Offset(w.tap_first) * Offset(p.w_axis[2]);

  const Index taps = d.taps * h.taps * w.taps;
  const Index steps = static_cast<Index>(ceil_div(taps * p.channels, Tile::kDepth));
  constexpr bool kGeneral = loads == GatherLoads::general;
  Place<Index> at_a, at_b, by;
  if (kGeneral && taps > 0) {
    at_a = Place<Index>(term_a, d.taps, h.taps, w.taps);
    at_b = Place<Index>(term_b, d.taps, h.taps, w.taps);
    by = Place<Index>(Tile::kDepth, d.taps, h.taps, w.taps);
  }

  Vector<T, kWidth> loaded_a[kRowsA];
  T loaded_b[kRowsB];
  const auto fetch = [&] {
    // With blocks a step's tap and channels are the same for all threads but for term_a, term_b.
    const Index channel_a = kGeneral ? at_a.outer : at_a.outer + term_a;
    const Index step_d = at_a.d * d.step, step_h = at_a.h * h.step, step_w = at_a.w * w.step;
    const Offset source =
        Offset(channel_a) * Offset(p.x_channel) + Offset(step_d) * Offset(p.x_axis[0]) +
        Offset(step_h) * Offset(p.x_axis[1]) + Offset(step_w) * Offset(p.x_axis[2]);
    const bool in_reduction_a = !kGeneral || channel_a < p.channels;
#pragma unroll
    for (int i = 0; i < kRowsA; ++i) {
      const bool inside = in_reduction_a && row_a + i * kSpanA < Tile::kM &&
                          Offset(mine[i].d + step_d) < Offset(d.in) &&
                          Offset(mine[i].h + step_h) < Offset(h.in) &&
                          Offset(mine[i].w + step_w) < Offset(w.in);
      if (inside) {
        loaded_a[i] = load<kWidth>(x + static_cast<Index>(mine[i].source + source));
      } else {
#pragma unroll
        for (int l = 0; l < kWidth; ++l) loaded_a[i].value[l] = narrow<T>(0);
      }
    }
    const Place<Index>& tap = kGeneral ? at_b : at_a;
    const Index channel_b = kGeneral ? tap.outer : tap.outer + term_b;
    const Offset filter = filters_base + Offset(channel_b) * Offset(p.w_channel) +
                          Offset(tap.d * d.tap_spacing) * Offset(p.w_axis[0]) +
                          Offset(tap.h * h.tap_spacing) * Offset(p.w_axis[1]) +
                          Offset(tap.w * w.tap_spacing) * Offset(p.w_axis[2]);
    const bool in_reduction_b = !kGeneral || channel_b < p.channels;
#pragma unroll
    for (int j = 0; j < kRowsB; ++j) {
      const int row = row_b + j * kSpanB;
      const Index column = first_column + row;
      const bool inside = in_reduction_b && row < Tile::kN && column < p.columns;
      loaded_b[j] = inside
                        ? filters[static_cast<Index>(Offset(column) * Offset(p.w_column) + filter)]
                        : narrow<T>(0);
    }
    if (kGeneral) {
      at_a.advance(by, d.taps, h.taps, w.taps);
      at_b.advance(by, d.taps, h.taps, w.taps);
    } else {
      at_a.advance_block(Tile::kDepth, d.taps, h.taps, w.taps);
    }
  };
  const auto put = [&](A* a, A* b) {
#pragma unroll
    for (int i = 0; i < kRowsA; ++i) {
      const int row = row_a + i * kSpanA;
      if (row >= Tile::kM) continue;
#pragma unroll
      for (int l = 0; l < kWidth; ++l) {
        a[(term_a + l) * Tile::kPitchA + row] = widen(loaded_a[i].value[l]);
      }
    }
#pragma unroll
    for (int j = 0; j < kRowsB; ++j) {
      const int row = row_b + j * kSpanB;
      if (row < Tile::kN) b[term_b * Tile::kPitchB + row] = widen(loaded_b[j]);
    }
  };
  TileSums<A, Tile> sums;
  multiply_steps<Tile>(steps, buffers, sums, fetch, put);
  store_gather<T, Index, Tile>(p, pixels, group, first_column, sums);
}

template <class T, class Index, GatherTile tile, GatherLoads loads>
void launch_gather_instance(const GatherParameters<Index>& p, unsigned blocks, Stream stream) {
  constexpr int kWidest =
      int(sizeof(Index) < sizeof(Compute<T>) ? sizeof(Compute<T>) : sizeof(Index));
  using Tile = typename GatherTileOf<kWidest, tile>::type;
  static_assert(Tile::kM == tile_pixels(tile) && Tile::kN == tile_columns(tile));
  constexpr size_t kBytes =
      2 * Tile::kStep * sizeof(Compute<T>) + Tile::kM * sizeof(GatherPixel<Index>);
  launch(conv_gather_kernel<T, Index, Tile, loads>, dim3(blocks), dim3(Tile::kThreads), kBytes,
         stream, p);
}

template <class T, class Index, GatherTile tile>
void launch_gather_tile(const GatherParameters<Index>& p, GatherLoads loads, unsigned blocks,
                        Stream stream) {
  if constexpr (has_loads<T, Index>(tile, GatherLoads::vectors)) {
    if (loads == GatherLoads::vectors)
      return launch_gather_instance<T, Index, tile, GatherLoads::vectors>(p, blocks, stream);
    if (loads == GatherLoads::blocks)
      return launch_gather_instance<T, Index, tile, GatherLoads::blocks>(p, blocks, stream);
  }
  if constexpr (has_loads<T, Index>(tile, GatherLoads::general))
    launch_gather_instance<T, Index, tile, GatherLoads::general>(p, blocks, stream);
}

// Defined for one T in a file of its own, so that they compile side by side.
template <class T, class Index>
void launch_gather(const GatherParameters<Index>& p, GatherTile tile, GatherLoads loads,
                   unsigned blocks, Stream stream) {
  if constexpr (has_tile<T, Index>(GatherTile::large)) {
    if (tile == GatherTile::large)
      return launch_gather_tile<T, Index, GatherTile::large>(p, loads, blocks, stream);
  }
  if constexpr (has_tile<T, Index>(GatherTile::thin)) {
    if (tile == GatherTile::thin)
      return launch_gather_tile<T, Index, GatherTile::thin>(p, loads, blocks, stream);
    if (tile == GatherTile::small)
      return launch_gather_tile<T, Index, GatherTile::small>(p, loads, blocks, stream);
  }
  launch_gather_tile<T, Index, GatherTile::medium>(p, loads, blocks, stream);
}

}  // namespace cnnkern::cuda
