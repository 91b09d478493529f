// SPDX-License-Identifier: BSD-3-Clause
// Winograd's minimal filtering (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural
// Networks, 2015): a tile of m x m outputs of a 3x3 filter g over a source d of (m+2) x (m+2) is
// y = A^T [(G g G^T) * (B^T d B)] A. The products of one point of the transforms are, over all
// tiles, channels and filters, a matrix product: (m+2)^2 of them take the place of 9 m^2 multiply-
// adds an output tile, channel and filter. One axis of each transform stands here, as code.

// m = 2; interpolates at 0, 1, -1 and infinity.
struct Winograd2 {
  static constexpr int kTile = 2, kPoints = 4;
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

// m = 4; at 0, a, -a, b, -b and infinity. The textbook's 1 and 2 lose three times as much accuracy
// as these, whose powers, and so all constants here but the filters', are exact.
struct Winograd4 {
  static constexpr int kTile = 4, kPoints = 6;
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  template <class V>
  CNNKERN_INLINE static void source(const V (&d)[6], V (&to)[6]) {
    to[0] = aa * bb * d[0] - (aa + bb) * d[2] + d[4];
    to[5] = aa * bb * d[1] - (aa + bb) * d[3] + d[5];
    const V even_a = d[4] - bb * d[2], odd_a = a * (d[3] - bb * d[1]);
    const V even_b = d[4] - aa * d[2], odd_b = b * (d[3] - aa * d[1]);
    to[1] = even_a + odd_a;
    to[2] = even_a - odd_a;
    to[3] = even_b + odd_b;
    to[4] = even_b - odd_b;
  }
  template <class V>
  CNNKERN_INLINE static void filter(const V (&g)[3], V (&to)[6]) {
    constexpr double da = a, db = b, daa = aa, dbb = bb;
    constexpr double at_a = 1 / (2 * daa * (daa - dbb)), at_b = 1 / (2 * dbb * (dbb - daa));
    const V even_a = (g[0] + daa * g[2]) * at_a, odd_a = g[1] * (da * at_a);
    const V even_b = (g[0] + dbb * g[2]) * at_b, odd_b = g[1] * (db * at_b);
    to[0] = g[0] * (1 / (daa * dbb));
    to[1] = even_a + odd_a;
    to[2] = even_a - odd_a;
    to[3] = even_b + odd_b;
    to[4] = even_b - odd_b;
    to[5] = g[2];
  }
  template <class V>
  CNNKERN_INLINE static void result(const V (&m)[6], V (&to)[4]) {
    const V sum_a = m[1] + m[2], difference_a = m[1] - m[2];
    const V sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    to[0] = m[0] + sum_a + sum_b;
    to[1] = a * difference_a + b * difference_b;
    to[2] = aa * sum_a + bb * sum_b;
    to[3] = m[5] + aa * a * difference_a + bb * b * difference_b;
  }
};

// Filters are transformed once for many tiles, and their errors meet all of them: in double.
template <class A>
struct WideOf {
  using type [[gnu::vector_size(CNNKERN_WIDTH / sizeof(A) * sizeof(double))]] = double;
};

// A task is a vector of filters of a group, as in pack_filters, which has put its taps into
// `packed`: [group][block of vectors][tap][channel][lane] becomes the same with points for taps.
template <class A, class W>
inline void winograd_filters(const WinogradFilters& g, int64_t begin, int64_t end) {
  using Wide = typename WideOf<A>::type;
  constexpr int n = lanes<A>, kPoints = W::kPoints;
  const int64_t vectors = (g.lanes + n - 1) / n, channels = g.channels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task / vectors, vector = task % vectors;
    const int64_t block = vector / kMaxVectors * kMaxVectors;
    const int64_t pitch = smaller(kMaxVectors, vectors - block) * n;
    const int64_t within = (vector - block) * n, before = (group * vectors + block) * n * channels;
    const A* from = static_cast<const A*>(g.packed) + before * 9 + within;
    A* to = static_cast<A*>(g.transformed) + before * kPoints * kPoints + within;
    for (int64_t c = 0; c < channels; ++c, from += pitch, to += pitch) {
      Wide rows[3][kPoints], tap[3], column[kPoints];
      for (int s = 0; s < 3; ++s) {
        for (int r = 0; r < 3; ++r)
          tap[r] = __builtin_convertvector(load(from + (r * 3 + s) * channels * pitch), Wide);
        W::filter(tap, rows[s]);
      }
      for (int i = 0; i < kPoints; ++i) {
        for (int s = 0; s < 3; ++s) tap[s] = rows[s][i];
        W::filter(tap, column);
        for (int j = 0; j < kPoints; ++j)
          store(to + (i * kPoints + j) * channels * pitch,
                __builtin_convertvector(column[j], Vec<A>));
      }
    }
  }
}

// The source of a tile, vectors of channels of a strip, becomes one row of each point's matrix.
template <class A, class W>
[[gnu::noinline]] void transform_source(const A* from, int64_t row_pitch, int64_t pixel_pitch,
                                        int64_t channels, int64_t point_pitch, A* to) {
  constexpr int kPoints = W::kPoints;
  for (int64_t c = 0; c < channels; c += lanes<A>) {
    Vec<A> columns[kPoints][kPoints], d[kPoints], v[kPoints];
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < kPoints; ++i) d[i] = load(from + i * row_pitch + j * pixel_pitch + c);
      W::source(d, columns[j]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < kPoints; ++i) {
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) d[j] = columns[j][i];
      W::source(d, v);
#pragma GCC unroll 6
      for (int j = 0; j < kPoints; ++j) store(to + (i * kPoints + j) * point_pitch + c, v[j]);
    }
  }
}

// The outputs of a tile, `rows` x `columns` of them wanted. False where one is not finite.
template <class A, class W>
[[gnu::noinline]] bool transform_result(const A* from, int64_t point_pitch, int vectors,
                                        int64_t rows, int64_t columns, int64_t row_pitch, A* to) {
  constexpr int n = lanes<A>, kPoints = W::kPoints, kTile = W::kTile;
  Mask<A> bad{};
  for (int v = 0; v < vectors; ++v, from += n, to += n) {
    Vec<A> half[kTile][kPoints], m[kPoints], y[kTile];
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) {
#pragma GCC unroll 6
      for (int i = 0; i < kPoints; ++i) m[i] = load(from + (i * kPoints + j) * point_pitch);
      W::result(m, y);
#pragma GCC unroll 4
      for (int i = 0; i < kTile; ++i) half[i][j] = y[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTile; ++i) {
      if (i >= rows) break;
      W::result(half[i], y);
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

template <class T, class W>
inline bool winograd_block(const WinogradCall& g, const WinogradScratch& scratch,
                           const Block& block, const Block& wanted, int64_t group) {
  using A = Compute<T>;
  constexpr int n = lanes<A>, kPoints = W::kPoints * W::kPoints, kTile = W::kTile;
  A* const strip = static_cast<A*>(scratch.strip);
  A* const sources = static_cast<A*>(scratch.sources);
  A* const products = static_cast<A*>(scratch.products);
  A* const sums = static_cast<A*>(scratch.sums);
  const BlockAxis &h = g.blocks.axis[1], &w = g.blocks.axis[2];
  const int64_t tile_rows = block.size[2] / kTile, tile_columns = block.size[3] / kTile;
  const int64_t tiles = block.size[0] * tile_rows * tile_columns;
  const int64_t depth = round_up(g.cin, n);
  // Neighbouring points a line apart, so that they do not meet in the same sets of the cache.
  const int64_t source_pitch = tiles * depth + kCacheLine / int64_t(sizeof(A));

  pack_strip<T>(g.blocks, block, static_cast<const T*>(g.x) + group * g.cin * g.xs[1], g.xs, g.cin,
                strip);
  const auto for_each_tile_of_block = [&](const auto& body) __attribute__((always_inline)) {
    int64_t t = 0;
    for (int64_t image = 0; image < block.size[0]; ++image)
      for (int64_t i = 0; i < tile_rows; ++i)
        for (int64_t j = 0; j < tile_columns; ++j) body(t++, image, i * kTile, j * kTile);
  };
  for_each_tile_of_block([&](int64_t t, int64_t image, int64_t i, int64_t j) {
    transform_source<A, W>(strip + image * g.blocks.image_pitch + i * h.pitch + j * w.pitch,
                           h.pitch, w.pitch, depth, source_pitch, sources + t * depth);
    scratch.source[t] = t * depth;
  });
  destination_offsets(g.blocks, wanted, g.ys, scratch.destination,
                      g.ys[1] == 1 ? nullptr : scratch.stretch);

  const int64_t all_vectors = (g.cout + n - 1) / n;
  const A* filters = static_cast<const A*>(g.filters) + group * g.filter_group;
  const T* const bias = g.bias ? static_cast<const T*>(g.bias) + group * g.cout : nullptr;
  bool finite = true;
  for (int64_t k = 0; k < g.cout; k += kMaxVectors * n) {
    const int vectors = int(smaller(kMaxVectors, all_vectors - k / n));
    const int64_t row = vectors * n;
    const int64_t product_pitch = tiles * row + kCacheLine / int64_t(sizeof(A));
    for (int p = 0; p < kPoints; ++p)
      for (int64_t c = 0; c < g.chunks; ++c) {
        for_each_tile(tiles, tile_height(vectors), [&](int height, int64_t at) {
          Tiles<A>::gather(vectors, height)(sources + p * source_pitch, scratch.source + at,
                                            g.chunk[c], filters,
                                            products + p * product_pitch + at * row, c == 0);
        });
        filters += g.chunk[c].terms * row;
      }
    for_each_tile_of_block([&](int64_t t, int64_t image, int64_t i, int64_t j) {
      const int64_t pixel = (image * wanted.size[2] + i) * wanted.size[3] + j;
      finite &=
          transform_result<A, W>(products + t * row, product_pitch, vectors, wanted.size[2] - i,
                                 wanted.size[3] - j, wanted.size[3] * row, sums + pixel * row);
    });
    store_sums<T>(sums, vectors, wanted.pixels(), g.cout - k, bias ? bias + k : nullptr, g.relu,
                  scratch.destination, scratch.stretch, g.ys[1],
                  static_cast<T*>(g.y) + (group * g.cout + k) * g.ys[1]);
  }
  return finite;
}

// False where some output is not finite: infinities and NaN of a tile's source reach outputs
// whose windows hold none.
template <class T, class W>
inline bool winograd(const WinogradCall& g, const WinogradScratch& scratch, int64_t begin,
                     int64_t end) {
  bool finite = true;
  for (int64_t task = begin; task < end; ++task) {
    const Block block = block_at(g.blocks, task / g.groups);
    Block wanted = block;
    for (int i = 1; i < 3; ++i)
      wanted.size[i + 1] = smaller(block.size[i + 1], g.out[i] - block.at[i + 1]);
    finite &= winograd_block<T, W>(g, scratch, block, wanted, task % g.groups);
  }
  return finite;
}
