// SPDX-License-Identifier: BSD-3-Clause
// Weight gradient on CUDA cores: a block sums one split of the pixels into a tile of (c, tap) by k.
// The gradient of the bias is summed on the way, from dy as it is loaded, by the blocks of the
// first rows.
#pragma once
#include "conv_direct_place.h"
#include "conv_direct_weight_grad.h"
#include "gemm_tile.h"
#include "launch.h"

namespace cnnkern::cuda {

template <int bytes, WeightGradTile tile>
struct WeightGradTileOf;
template <int bytes>
struct WeightGradTileOf<bytes, WeightGradTile::medium> {
  using type = Tile<256, bytes == 4 ? 2 : 1, 64, 64, 4, 4, 16>;
};
template <int bytes>
struct WeightGradTileOf<bytes, WeightGradTile::small> {
  using type = Tile<64, 8 / (bytes / 4), 32, 16, 4, 2, 16>;
};

// Which channel and tap of x a row of the gradient is.
template <class Index>
struct WeightGradRow {
  Index channel, tap[3];

  __device__ WeightGradRow(const WeightGradParameters<Index>& p, Index row) {
    if (p.channels_last) channel = pop(row, p.channels);
    for (int i = 2; i >= 0; --i) tap[i] = pop(row, p.axis[i].taps);
    if (!p.channels_last) channel = row;
  }
};

template <class T, class Index>
__device__ void store_weight_grad(const WeightGradParameters<Index>& p, Index k,
                                  const WeightGradRow<Index>& row, Compute<T> value) {
  static_cast<T*>(p.dw)[k * p.dw_k + row.channel * p.dw_channel + row.tap[0] * p.dw_axis[0] +
                        row.tap[1] * p.dw_axis[1] + row.tap[2] * p.dw_axis[2]] = narrow<T>(value);
}

// Sums of what a thread loads of dy, of kCount columns, in blocks as TileSums.
template <class A, int kCount>
struct ColumnSums {
  A part[kCount], total[kCount];
  int unflushed = 0;

  __device__ ColumnSums() {
#pragma unroll
    for (int j = 0; j < kCount; ++j) part[j] = total[j] = 0;
  }
  __device__ void flush() {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      total[j] += part[j];
      part[j] = 0;
    }
    unflushed = 0;
  }
};

template <class T, class Index, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    conv_weight_grad_kernel(const WeightGradParameters<Index> p) {
  using A = Compute<T>;
  using Offset = std::make_unsigned_t<Index>;
  CK_SMEM(raw);
  A* const buffers = reinterpret_cast<A*>(raw);
  const int thread = static_cast<int>(threadIdx.x);

  Index rest = static_cast<Index>(blockIdx.x);
  const Index first_row = pop(rest, p.row_tiles) * Tile::kM;
  const Index first_column = pop(rest, p.column_tiles) * Tile::kN;
  const Index group = pop(rest, p.groups), split = rest;
  const Index begin = split * p.split_pixels;
  const Index end = begin + p.split_pixels < p.pixels ? begin + p.split_pixels : p.pixels;

  // Of each step a thread loads one pixel: kRowsA values of x and kRowsB of dy.
  constexpr int kSpan = Tile::kThreads / Tile::kDepth;
  constexpr int kRowsA = Tile::kM / kSpan, kRowsB = Tile::kN / kSpan;
  const int term = p.channels_last ? thread / kSpan : thread % Tile::kDepth;
  const int row0 = p.channels_last ? thread % kSpan : thread / Tile::kDepth;

  Offset tap[kRowsA][3], source[kRowsA];
#pragma unroll
  for (int i = 0; i < kRowsA; ++i) {
    const Index number = first_row + row0 + i * kSpan;
    const WeightGradRow<Index> row(p, number);
    source[i] = Offset(group * p.channels.d + row.channel) * Offset(p.x_channel);
    for (int a = 0; a < 3; ++a) {
      tap[i][a] = Offset(row.tap[a]) * Offset(p.axis[a].step);
      source[i] += tap[i][a] * Offset(p.x_axis[a]);
    }
    // Past the last row: so far away that no pixel's position lies inside.
    if (number >= p.rows) tap[i][0] = Offset(1) << (8 * sizeof(Index) - 1);
  }
  const T* const x = static_cast<const T*>(p.x);
  const T* const dy =
      static_cast<const T*>(p.dy) + (group * p.columns + first_column + row0) * p.dy_channel;
  const int columns_left = static_cast<int>(
      p.columns - first_column < Tile::kN ? p.columns - first_column : Index(Tile::kN));

  const Index size_d = p.axis[0].out, size_h = p.axis[1].out, size_w = p.axis[2].out;
  Place<Index> at(begin + term, size_d, size_h, size_w);
  const Place<Index> by(Tile::kDepth, size_d, size_h, size_w);
  Index left = end - begin - term;

  T loaded_a[kRowsA], loaded_b[kRowsB];
  const auto fetch = [&] {
    const bool inside = left > 0;
    const Index d = at.d * p.axis[0].stride + p.axis[0].base;
    const Index h = at.h * p.axis[1].stride + p.axis[1].base;
    const Index w = at.w * p.axis[2].stride + p.axis[2].base;
    const Offset pixel = Offset(at.outer) * Offset(p.x_sample) + Offset(d) * Offset(p.x_axis[0]) +
                         Offset(h) * Offset(p.x_axis[1]) + Offset(w) * Offset(p.x_axis[2]);
#pragma unroll
    for (int i = 0; i < kRowsA; ++i) {
      const bool in_image = inside && Offset(d) + tap[i][0] < Offset(p.axis[0].in) &&
                            Offset(h) + tap[i][1] < Offset(p.axis[1].in) &&
                            Offset(w) + tap[i][2] < Offset(p.axis[2].in);
      loaded_a[i] = in_image ? x[static_cast<Index>(pixel + source[i])] : narrow<T>(0);
    }
    const Index output =
        at.outer * p.dy_sample + at.d * p.dy_axis[0] + at.h * p.dy_axis[1] + at.w * p.dy_axis[2];
#pragma unroll
    for (int j = 0; j < kRowsB; ++j) {
      const bool given = inside && row0 + j * kSpan < columns_left;
      loaded_b[j] = given ? dy[output + j * kSpan * p.dy_channel] : narrow<T>(0);
    }
    at.advance(by, size_d, size_h, size_w);
    left -= Tile::kDepth;
  };

  const bool with_bias = p.db && first_row == 0;
  ColumnSums<A, kRowsB> bias;
  const auto put = [&](A* a, A* b) {
#pragma unroll
    for (int i = 0; i < kRowsA; ++i)
      a[term * Tile::kPitchA + row0 + i * kSpan] = widen(loaded_a[i]);
#pragma unroll
    for (int j = 0; j < kRowsB; ++j) {
      const A value = widen(loaded_b[j]);
      b[term * Tile::kPitchB + row0 + j * kSpan] = value;
      bias.part[j] += value;
    }
    if (++bias.unflushed == kTermsOfSum) bias.flush();
  };
  TileSums<A, Tile> sums;
  const Index steps = (end - begin + Tile::kDepth - 1) / Tile::kDepth;
  multiply_steps<Tile>(steps, buffers, sums, fetch, put);

  const int64_t all_columns = int64_t(p.groups.d) * p.columns;
  A* const partial = static_cast<A*>(p.sums);
#pragma unroll
  for (int i = 0; i < Tile::kThreadM; ++i) {
    const Index row = first_row + Tile::row(i);
    if (row >= p.rows) continue;
    const WeightGradRow<Index> where(p, row);
#pragma unroll
    for (int j = 0; j < Tile::kThreadN; ++j) {
      if (Tile::column(j) >= columns_left) continue;
      const Index k = group * p.columns + first_column + Tile::column(j);
      if (partial) {
        partial[(split * all_columns + k) * p.rows + row] = sums.total[i][j];
      } else {
        store_weight_grad<T>(p, k, where, sums.total[i][j]);
      }
    }
  }
  if (!with_bias) return;  // the whole block
  bias.flush();
#pragma unroll
  for (int j = 0; j < kRowsB; ++j) buffers[term * Tile::kPitchB + row0 + j * kSpan] = bias.total[j];
  __syncthreads();
  if (thread >= columns_left) return;
  A total = 0;
  for (int t = 0; t < Tile::kDepth; ++t) total += buffers[t * Tile::kPitchB + thread];
  const Index k = group * p.columns + first_column + thread;
  if (partial) {
    partial[int64_t(p.splits) * all_columns * p.rows + split * all_columns + k] = total;
  } else {
    static_cast<T*>(p.db)[k] = narrow<T>(total);
  }
}

// Thread i adds the splits of element i: of dw in the order of the matrix, then of db.
template <class T, class Index>
__global__ void __launch_bounds__(kAddingThreads)
    add_weight_grad_kernel(const WeightGradParameters<Index> p) {
  using A = Compute<T>;
  const int64_t all_columns = int64_t(p.groups.d) * p.columns, weights = all_columns * p.rows;
  const int64_t i = int64_t(blockIdx.x) * kAddingThreads + threadIdx.x;
  const bool is_bias = i >= weights;
  if (i >= weights + (p.db ? all_columns : 0)) return;
  const A* const first =
      static_cast<const A*>(p.sums) + (is_bias ? p.splits * weights + (i - weights) : i);
  const int64_t pitch = is_bias ? all_columns : weights;
  A total = 0;
  for (Index begin = 0; begin < p.splits; begin += kTermsOfSum) {
    const Index end = begin + kTermsOfSum < p.splits ? begin + kTermsOfSum : p.splits;
    A part = 0;
    for (Index s = begin; s < end; ++s) part += first[s * pitch];
    total += part;
  }
  if (is_bias) {
    static_cast<T*>(p.db)[i - weights] = narrow<T>(total);
    return;
  }
  Index row = static_cast<Index>(i);
  const Index k = split(row, p.all_rows);
  store_weight_grad<T>(p, k, WeightGradRow<Index>(p, row), total);
}

template <class T, class Index, WeightGradTile tile>
void launch_weight_grad_instance(const WeightGradParameters<Index>& p, unsigned blocks,
                                 Stream stream) {
  constexpr int kWidest =
      int(sizeof(Index) < sizeof(Compute<T>) ? sizeof(Compute<T>) : sizeof(Index));
  using Tile = typename WeightGradTileOf<kWidest, tile>::type;
  static_assert(Tile::kM == weight_grad_rows(tile) && Tile::kN == weight_grad_columns(tile));
  constexpr size_t kBytes = 2 * Tile::kStep * sizeof(Compute<T>);
  launch(conv_weight_grad_kernel<T, Index, Tile>, dim3(blocks), dim3(Tile::kThreads), kBytes,
         stream, p);
}

template <class T, class Index>
void launch_weight_grad(const WeightGradParameters<Index>& p, WeightGradTile tile,
                        const WeightGradGrids& grids, Stream stream) {
  if (tile == WeightGradTile::small) {
    launch_weight_grad_instance<T, Index, WeightGradTile::small>(p, grids.blocks, stream);
  } else {
    launch_weight_grad_instance<T, Index, WeightGradTile::medium>(p, grids.blocks, stream);
  }
  if (p.splits > 1) {
    launch(add_weight_grad_kernel<T, Index>, dim3(grids.adding_blocks), dim3(kAddingThreads), 0,
           stream, p);
  }
}

}  // namespace cnnkern::cuda
