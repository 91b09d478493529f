// SPDX-License-Identifier: BSD-3-Clause
// The register tiles that do all arithmetic of a convolution: some broadcast values times vectors
// of filters. Twelve to 24 sums at once hide the latency of an FMA and leave registers for
// operands.

// Values broadcast by the tile that is this many vectors wide.
constexpr int tile_height(int vectors) {
  if (kRegisters == 32) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  return vectors == 2 ? 6 : 10;
}
constexpr int kMaxVectors = kRegisters == 32 ? 4 : 2;

// A row of a tile starts here. The empty statement keeps the compiler from computing all starts of
// a tile in vectors, which it then takes apart again, slowly.
template <class A>
CNNKERN_INLINE const A* row_start(const A* x, int64_t offset) {
  x += offset;
  asm("" : "+r"(x));
  return x;
}

template <class A>
CNNKERN_INLINE Vec<A> finish(Vec<A> sum, bool relu) {
  return relu ? (sum < Vec<A>{} ? Vec<A>{} : sum) : sum;  // NaN stays
}

template <class A, int kHeight, int kVectors>
CNNKERN_INLINE void add_sums(A* sums, const Vec<A> (&acc)[kHeight][kVectors], bool first) {
  constexpr int n = lanes<A>;
#pragma GCC unroll 16
  for (int j = 0; j < kHeight; ++j)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      A* const to = sums + (j * kVectors + v) * n;
      store(to, first ? acc[j][v] : load(to) + acc[j][v]);
    }
}

template <class A, int kHeight, int kVectors>
CNNKERN_INLINE void clear_sums(Vec<A> (&acc)[kHeight][kVectors]) {
#pragma GCC unroll 16
  for (int j = 0; j < kHeight; ++j)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[j][v] = Vec<A>{};
}

// Pixels of a weight gradient, taps of a depthwise convolution: as Chunk::block is for the others.
constexpr int64_t kBlockedTerms = 64;

// What lies in the residual where y has an element; null where there is none.
template <class T>
CNNKERN_INLINE const T* residual_at(const Operands& g, const T* y) {
  if (!g.residual) return nullptr;
  return static_cast<const T*>(g.residual) + (y - static_cast<const T*>(g.y));
}

// Where a tile's results go that need no other layout or type: y[destination[pixel] + filter].
template <class A>
struct TileOutput {
  A* y;
  const A *bias, *residual;  // or null
  bool relu;
};
template <class A, int kHeight, int kVectors>
CNNKERN_INLINE void store_tile(TileOutput<A> out, const int64_t* destination, const A* sums,
                               Vec<A> (&acc)[kHeight][kVectors], bool first) {
  constexpr int n = lanes<A>;
  if (!first) {
#pragma GCC unroll 16
    for (int j = 0; j < kHeight; ++j)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[j][v] += load(sums + (j * kVectors + v) * n);
  }
  if (out.bias) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vec<A> bias = load(out.bias + v * n);
#pragma GCC unroll 16
      for (int j = 0; j < kHeight; ++j) acc[j][v] += bias;
    }
  }
  if (out.residual) {
#pragma GCC unroll 16
    for (int j = 0; j < kHeight; ++j)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[j][v] += load(out.residual + destination[j] + v * n);
  }
  if (out.relu) {
#pragma GCC unroll 16
    for (int j = 0; j < kHeight; ++j)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[j][v] = finish<A>(acc[j][v], true);
  }
#pragma GCC unroll 16
  for (int j = 0; j < kHeight; ++j) {
    A* const to = out.y + destination[j];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(to + v * n, acc[j][v]);
  }
}

// sums[pixel][filter] += source[pixel][term] * filters[term][filter] over the terms of a chunk; the
// last chunk of a reduction may leave through `out`.
template <class A, int kHeight, int kVectors>
CNNKERN_INLINE void gather_terms(const A* x, const int64_t* pixels, const Chunk& chunk,
                                 const A* filters, A* sums, bool first, const TileOutput<A>* out,
                                 const int64_t* destination) {
  constexpr int n = lanes<A>;
  Vec<A> acc[kHeight][kVectors] = {};
  const A* source[kHeight];
  for (int j = 0; j < kHeight; ++j) source[j] = row_start(x, pixels[j]);
  int64_t left = chunk.block, terms = chunk.terms;
  for (int64_t r = 0; r < chunk.count; ++r) {
    filters += chunk.runs[r].skipped * kVectors * n;
    const int64_t end = chunk.runs[r].offset + chunk.runs[r].length;
    for (int64_t i = chunk.runs[r].offset; i < end;) {
      const int64_t stop = smaller(end, i + left);
      left -= stop - i;
      terms -= stop - i;
      for (; i < stop; ++i, filters += kVectors * n) {
        Vec<A> filter[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) filter[v] = load(filters + v * n);
#pragma GCC unroll 16
        for (int j = 0; j < kHeight; ++j) {
          const Vec<A> value = splat(source[j][i]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) acc[j][v] += value * filter[v];
        }
      }
      if (left || !terms) continue;
      add_sums<A>(sums, acc, first);
      clear_sums<A>(acc);
      first = false;
      left = chunk.block;
    }
  }
  if (out)
    store_tile<A>(*out, destination, sums, acc, first);
  else
    add_sums<A>(sums, acc, first);
}

template <class A, int kHeight, int kVectors>
inline void gather_tile(const A* x, const int64_t* pixels, const Chunk& chunk, const A* filters,
                        A* sums, bool first) {
  gather_terms<A, kHeight, kVectors>(x, pixels, chunk, filters, sums, first, nullptr, nullptr);
}
template <class A, int kHeight, int kVectors>
inline void gather_out_tile(const A* x, const int64_t* pixels, const Chunk& chunk, const A* filters,
                            A* sums, bool first, const TileOutput<A>& out,
                            const int64_t* destination) {
  // Pieces far apart, which no hardware foresees, are on their way while the tile adds up.
  if (out.residual)
    for (int j = 0; j < kHeight; ++j)
      for (int v = 0; v < kVectors; ++v)
        __builtin_prefetch(out.residual + destination[j] + v * lanes<A>);
  gather_terms<A, kHeight, kVectors>(x, pixels, chunk, filters, sums, first, &out, destination);
}

// sums[row][filter] += source[row][pixel] * dy[pixel][filter] over some pixels; dy has a pixel
// every `pitch` elements.
template <class A, int kHeight, int kVectors>
inline void weight_tile(const A* x, const int64_t* rows, const int64_t* pixels, int64_t count,
                        const A* dy, int64_t pitch, A* sums, bool first) {
  constexpr int n = lanes<A>;
  const A* source[kHeight];
  for (int j = 0; j < kHeight; ++j) source[j] = row_start(x, rows[j]);
  for (int64_t i = 0; i < count;) {
    Vec<A> acc[kHeight][kVectors] = {};
    const int64_t stop = smaller(count, i + kBlockedTerms);
    for (; i < stop; ++i, dy += pitch) {
      const int64_t pixel = pixels[i];
      Vec<A> filter[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) filter[v] = load(dy + v * n);
#pragma GCC unroll 16
      for (int j = 0; j < kHeight; ++j) {
        const Vec<A> value = splat(source[j][pixel]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[j][v] += value * filter[v];
      }
    }
    add_sums<A>(sums, acc, first);
    first = false;
  }
}

// Instances of every height, so that tiles can share what is to do evenly: 49 = 4 * 6 + 5 * 5.
template <class A>
struct Tiles {
  using Gather = void (*)(const A*, const int64_t*, const Chunk&, const A*, A*, bool);
  using Weight = void (*)(const A*, const int64_t*, const int64_t*, int64_t, const A*, int64_t, A*,
                          bool);

  using GatherOut = void (*)(const A*, const int64_t*, const Chunk&, const A*, A*, bool,
                             const TileOutput<A>&, const int64_t*);

  template <int kVectors, int... I>
  static Gather gather_of(int height, std::integer_sequence<int, I...>) {
    static constexpr Gather tiles[] = {gather_tile<A, I + 1, kVectors>...};
    return tiles[height - 1];
  }
  template <int kVectors, int... I>
  static GatherOut gather_out_of(int height, std::integer_sequence<int, I...>) {
    static constexpr GatherOut tiles[] = {gather_out_tile<A, I + 1, kVectors>...};
    return tiles[height - 1];
  }
  template <int kVectors, int... I>
  static Weight weight_of(int height, std::integer_sequence<int, I...>) {
    static constexpr Weight tiles[] = {weight_tile<A, I + 1, kVectors>...};
    return tiles[height - 1];
  }
  template <int kVectors>
  using Heights = std::make_integer_sequence<int, tile_height(kVectors)>;
  static Gather gather(int vectors, int height) {
    if constexpr (kMaxVectors == 4) {
      if (vectors == 4) return gather_of<4>(height, Heights<4>());
      if (vectors == 3) return gather_of<3>(height, Heights<3>());
    }
    return vectors == 2 ? gather_of<2>(height, Heights<2>()) : gather_of<1>(height, Heights<1>());
  }
  static GatherOut gather_out(int vectors, int height) {
    if constexpr (kMaxVectors == 4) {
      if (vectors == 4) return gather_out_of<4>(height, Heights<4>());
      if (vectors == 3) return gather_out_of<3>(height, Heights<3>());
    }
    return vectors == 2 ? gather_out_of<2>(height, Heights<2>())
                        : gather_out_of<1>(height, Heights<1>());
  }
  static Weight weight(int vectors, int height) {
    if constexpr (kMaxVectors == 4) {
      if (vectors == 4) return weight_of<4>(height, Heights<4>());
      if (vectors == 3) return weight_of<3>(height, Heights<3>());
    }
    return vectors == 2 ? weight_of<2>(height, Heights<2>()) : weight_of<1>(height, Heights<1>());
  }
};

// Cuts count rows into tiles of two neighbouring heights, and calls body(tile height, first row).
template <class Body>
CNNKERN_INLINE void for_each_tile(int64_t count, int tallest, const Body& body) {
  const int64_t tiles = (count + tallest - 1) / tallest;
  const int64_t height = count / tiles, taller = count % tiles;
  for (int64_t i = 0, at = 0; i < tiles; ++i) {
    const int64_t rows = height + (i < taller);
    body(int(rows), at);
    at += rows;
  }
}
