// SPDX-License-Identifier: BSD-3-Clause
// Winograd's minimal filtering (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural
// Networks, 2015): a tile of m x m outputs of a 3x3 filter g over a source d of (m+2) x (m+2) is
// y = A^T [(G g G^T) * (B^T d B)] A. The products of one point of the transforms are, over all
// tiles, channels and filters, a matrix product: (m+2)^2 of them take the place of 9 m^2 multiply-
// adds an output tile, channel and filter. One axis of each transform stands here, as code.

// m = 2; interpolates at 0, 1, -1 and infinity. Tiles of m = 4 round too much: sums of hundreds of
// channels, whose small difference an output is, err three times as much as direct ones.
struct Winograd {
  template <class V>
  CNNKERN_INLINE static void source(const V (&d)[4], V (&to)[4]) {
    to[0] = d[0] - d[2];
    to[1] = d[1] + d[2];
    to[2] = d[2] - d[1];
    to[3] = d[1] - d[3];
  }
  template <class V>
  CNNKERN_INLINE static void filter(const V (&g)[3], V (&to)[4]) {
    const V ends = g[0] + g[2];
    to[0] = g[0];
    to[1] = (ends + g[1]) * 0.5;
    to[2] = (ends - g[1]) * 0.5;
    to[3] = g[2];
  }
  template <class V>
  CNNKERN_INLINE static void result(const V (&m)[4], V (&to)[2]) {
    to[0] = m[0] + m[1] + m[2];
    to[1] = m[1] - m[2] - m[3];
  }
};

// Filters are transformed once for many tiles, and their errors meet all of them: in double.
template <class A>
struct WideOf {
  using type [[gnu::vector_size(CNNKERN_WIDTH / sizeof(A) * sizeof(double))]] = double;
};

// Elements of a point's filters and of a block of them, a line more than they fill: neighbouring
// points do not meet in the same sets of the cache.
CNNKERN_INLINE int64_t filter_pitch(int64_t channels, int64_t row) {
  return channels * row + kCacheLine / int64_t(sizeof(float));
}

// A task is a block of vectors of filters of a group, whose taps pack_filters has put into
// `packed`, [group][block of vectors][tap][channel][lane]: they become the same with points for
// taps.
template <class A>
inline void winograd_filters(const WinogradFilters& g, int64_t begin, int64_t end) {
  using Wide = typename WideOf<A>::type;
  constexpr int n = lanes<A>, kSide = kWinogradSide;
  const int64_t vectors = (g.lanes + n - 1) / n, channels = g.channels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task / g.blocks, block = g.first_block + task % g.blocks;
    const int64_t row = smaller(kMaxVectors, vectors - block * kMaxVectors) * n;
    const int64_t pitch = filter_pitch(channels, row);
    const A* from = static_cast<const A*>(g.packed) +
                    (group * vectors + block * kMaxVectors) * n * channels * 9;
    A* to = static_cast<A*>(g.transformed) + group * g.group +
            task % g.blocks * kWinogradPoints * filter_pitch(channels, kMaxVectors * n);
    for (int64_t c = 0; c < channels * row; c += n) {
      Wide rows[3][kSide], tap[3], column[kSide];
      for (int s = 0; s < 3; ++s) {
        for (int r = 0; r < 3; ++r)
          tap[r] = __builtin_convertvector(load(from + (r * 3 + s) * channels * row + c), Wide);
        Winograd::filter(tap, rows[s]);
      }
      for (int i = 0; i < kSide; ++i) {
        for (int s = 0; s < 3; ++s) tap[s] = rows[s][i];
        Winograd::filter(tap, column);
        for (int j = 0; j < kSide; ++j)
          store(to + (i * kSide + j) * pitch + c, __builtin_convertvector(column[j], Vec<A>));
      }
    }
  }
}

// The source of a tile, vectors of channels of a strip, becomes one row of each point's matrix.
template <class A>
[[gnu::noinline]] void transform_source(const A* from, int64_t row_pitch, int64_t pixel_pitch,
                                        int64_t channels, int64_t point_pitch, A* to) {
  constexpr int kSide = kWinogradSide;
  for (int64_t c = 0; c < channels; c += lanes<A>) {
    Vec<A> columns[kSide][kSide], d[kSide], v[kSide];
#pragma GCC unroll 4
    for (int j = 0; j < kSide; ++j) {
#pragma GCC unroll 4
      for (int i = 0; i < kSide; ++i) d[i] = load(from + i * row_pitch + j * pixel_pitch + c);
      Winograd::source(d, columns[j]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kSide; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kSide; ++j) d[j] = columns[j][i];
      Winograd::source(d, v);
#pragma GCC unroll 4
      for (int j = 0; j < kSide; ++j) store(to + (i * kSide + j) * point_pitch + c, v[j]);
    }
  }
}

// body(tile, image, row, column of its first output) for each tile of a block.
template <class Body>
CNNKERN_INLINE void for_each_winograd_tile(const Block& block, const Body& body) {
  int64_t t = 0;
  for (int64_t image = 0; image < block.size[0]; ++image)
    for (int64_t i = 0; i < block.size[2]; i += kWinogradTile)
      for (int64_t j = 0; j < block.size[3]; j += kWinogradTile) body(t++, image, i, j);
}

// The outputs of a tile, `rows` x `columns` of them wanted. False where one is not finite.
template <class A>
[[gnu::noinline]] bool transform_result(const A* from, int64_t point_pitch, int vectors,
                                        int64_t rows, int64_t columns, int64_t row_pitch, A* to) {
  constexpr int n = lanes<A>, kSide = kWinogradSide, kTile = kWinogradTile;
  Mask<A> bad{};
  for (int v = 0; v < vectors; ++v, from += n, to += n) {
    Vec<A> half[kTile][kSide], m[kSide], y[kTile];
#pragma GCC unroll 4
    for (int j = 0; j < kSide; ++j) {
#pragma GCC unroll 4
      for (int i = 0; i < kSide; ++i) m[i] = load(from + (i * kSide + j) * point_pitch);
      Winograd::result(m, y);
#pragma GCC unroll 4
      for (int i = 0; i < kTile; ++i) half[i][j] = y[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTile; ++i) {
      if (i >= rows) break;
      Winograd::result(half[i], y);
      A* const row = to + i * row_pitch;
#pragma GCC unroll 4
      for (int j = 0; j < kTile; ++j) {
        if (j >= columns) break;
        store(row + j * vectors * n, y[j]);
        const Vec<A> zero = y[j] - y[j];  // NaN for what is not finite
        bad |= zero != zero;
      }
    }
  }
  return !any(bad);
}

// What all filters read of a block: the sources of its tiles, transformed.
template <class T>
inline void winograd_sources(const WinogradCall& g, const WinogradScratch& scratch,
                             const Block& block, int64_t group, int64_t source_pitch) {
  using A = Compute<T>;
  A* const strip = static_cast<A*>(scratch.strip);
  const BlockAxis &h = g.blocks.axis[1], &w = g.blocks.axis[2];
  const int64_t depth = round_up(g.cin, lanes<A>);
  pack_strip<T>(g.blocks, block, static_cast<const T*>(g.x) + group * g.cin * g.xs[1], g.xs, g.cin,
                strip);
  for_each_winograd_tile(block, [&](int64_t t, int64_t image, int64_t i, int64_t j) {
    transform_source<A>(strip + image * g.blocks.image_pitch + i * h.pitch + j * w.pitch, h.pitch,
                        w.pitch, depth, source_pitch, static_cast<A*>(scratch.sources) + t * depth);
    scratch.source[t] = t * depth;
  });
}

// False where some output is not finite: infinities and NaN of a tile's source reach outputs
// whose windows hold none.
template <class T>
inline bool winograd(const WinogradCall& g, const WinogradScratch& scratch, int64_t begin,
                     int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  constexpr int64_t kLine = kCacheLine / int64_t(sizeof(A));
  A* const products = static_cast<A*>(scratch.products);
  A* const sums = static_cast<A*>(scratch.sums);
  const int64_t all_vectors = (g.cout + n - 1) / n;
  bool finite = true;
  int64_t transformed_for = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % g.filter_parts, group = task / g.filter_parts % g.groups;
    const Block block = block_at(g.blocks, task / g.filter_parts / g.groups);
    Block wanted = block;
    for (int i = 1; i < 3; ++i)
      wanted.size[i + 1] = smaller(block.size[i + 1], g.out[i] - block.at[i + 1]);
    const int64_t tiles = block.pixels() / (kWinogradTile * kWinogradTile);
    const int64_t source_pitch = tiles * round_up(g.cin, n) + kLine;
    if (transformed_for != task / g.filter_parts) {
      winograd_sources<T>(g, scratch, block, group, source_pitch);
      destination_offsets(g.blocks, wanted, g.ys, scratch.destination,
                          g.ys[1] == 1 ? nullptr : scratch.stretch);
      transformed_for = task / g.filter_parts;
    }

    const T* const bias = g.bias ? static_cast<const T*>(g.bias) + group * g.cout : nullptr;
    const int64_t last = g.filter_blocks * (part + 1) / g.filter_parts;
    for (int64_t b = g.filter_blocks * part / g.filter_parts; b < last; ++b) {
      const int64_t kb = g.first_filter_block + b;
      const int vectors = int(smaller(kMaxVectors, all_vectors - kb * kMaxVectors));
      const int64_t row = vectors * n, product_pitch = tiles * row + kLine;
      const A* const filters = static_cast<const A*>(g.filters) + group * g.filter_group +
                               b * kWinogradPoints * filter_pitch(g.cin, kMaxVectors * n);
      const int64_t k = kb * kMaxVectors * n;
      T* const y = static_cast<T*>(g.y) + (group * g.cout + k) * g.ys[1];
      const Epilogue<T> end{bias ? bias + k : nullptr, residual_at(g, y), g.relu};
      prefetch_residual(end, wanted.pixels(), smaller(row, g.cout - k), scratch.destination,
                        g.ys[1]);
      for (int p = 0; p < kWinogradPoints; ++p) {
        const A* filter = filters + p * filter_pitch(g.cin, row);
        for (int64_t c = 0; c < g.chunks; ++c) {
          for_each_tile(tiles, tile_height(vectors), [&](int height, int64_t at) {
            Tiles<A>::gather(vectors, height)(
                static_cast<const A*>(scratch.sources) + p * source_pitch, scratch.source + at,
                g.chunk[c], filter, products + p * product_pitch + at * row, c == 0);
          });
          filter += g.chunk[c].terms * row;
        }
      }
      for_each_winograd_tile(block, [&](int64_t t, int64_t image, int64_t i, int64_t j) {
        const int64_t pixel = (image * wanted.size[2] + i) * wanted.size[3] + j;
        finite &=
            transform_result<A>(products + t * row, product_pitch, vectors, wanted.size[2] - i,
                                wanted.size[3] - j, wanted.size[3] * row, sums + pixel * row);
      });
      store_sums<T>(sums, vectors, wanted.pixels(), g.cout - k, end, scratch.destination,
                    scratch.stretch, g.ys[1], y);
    }
  }
  return finite;
}
