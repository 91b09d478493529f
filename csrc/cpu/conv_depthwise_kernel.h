// SPDX-License-Identifier: BSD-3-Clause
// Depthwise convolution (groups = channels, any multiplier): lanes are channels, in either layout,
// so small planes and strides cost nothing extra. A task packs a block of some channels and walks
// all taps of several pixels at once; the weight gradient, all pixels of several taps.

constexpr int kDepthwiseTile = kRegisters == 32 ? 12 : 8;
constexpr int64_t kDepthwisePanel = 64;  // pixels: what a panel writes stays in the first cache
static_assert(kDepthwisePanel <= kPanel);

template <class A, int kHeight>
inline void depthwise_tile(const A* x, const int64_t* pixels, const int64_t* taps, int64_t count,
                           const A* filters, const int64_t* filter_taps, int64_t filter_pitch,
                           A* sums, bool first) {
  Vec<A> acc[kHeight][1] = {};
  const A* source[kHeight];
  for (int j = 0; j < kHeight; ++j) source[j] = row_start(x, pixels[j]);
  for (int64_t t = 0; t < count; ++t) {
    const int64_t tap = taps[t];
    const Vec<A> filter = load(filters + filter_taps[t] * filter_pitch);
#pragma GCC unroll 16
    for (int j = 0; j < kHeight; ++j) acc[j][0] += load(source[j] + tap) * filter;
  }
  add_sums<A>(sums, acc, first);
}

// Where a vector's filters begin, and how far their taps lie apart.
struct DepthwiseFilters {
  int64_t offset, pitch;
};
template <class A>
CNNKERN_INLINE DepthwiseFilters filters_at(int64_t vector, int64_t vectors, int64_t taps) {
  constexpr int n = lanes<A>;
  const int64_t first = vector / kMaxVectors * kMaxVectors;
  return {first * n * taps + (vector - first) * n, smaller(kMaxVectors, vectors - first) * n};
}

// Some vectors of channels at a few pixels, from `vector` on: what is read stays in the first cache
// from tap to tap, and is read and written in long pieces.
template <class A, int kHeight>
inline void depthwise_out_tile(const DepthwiseCall& g, const A* x, const int64_t* pixels,
                               const int64_t* taps, int64_t vector, int64_t end,
                               const TileOutput<A>& out, const int64_t* destination) {
  constexpr int n = lanes<A>;
  const int64_t count = taps_of({g.blocks.axis[0], g.blocks.axis[1], g.blocks.axis[2]});
  const int64_t all_vectors = g.channels / n;
  const int64_t* const filter_taps = g.filter_taps;
  const A* source[kHeight];
  for (int j = 0; j < kHeight; ++j) source[j] = row_start(x, pixels[j]);
  TileOutput<A> to = out;
  for (; vector < end; ++vector) {
    const DepthwiseFilters at = filters_at<A>(vector, all_vectors, g.filter_count);
    const A* const filters = static_cast<const A*>(g.filters) + at.offset;
    Vec<A> acc[kHeight][1] = {};
    for (int64_t t = 0; t < count; ++t) {
      const int64_t tap = taps[t];
      const Vec<A> filter = load(filters + filter_taps[t] * at.pitch);
#pragma GCC unroll 16
      for (int j = 0; j < kHeight; ++j) acc[j][0] += load(source[j] + tap) * filter;
    }
    store_tile<A, kHeight, 1>(to, destination, nullptr, acc, true);
    to.y += n;
    to.bias += to.bias ? n : 0;
    to.residual += to.residual ? n : 0;
    for (int j = 0; j < kHeight; ++j) source[j] += n;
  }
}

template <class A, int kHeight>
inline void depthwise_weight_tile(const A* x, const int64_t* taps, const int64_t* pixels,
                                  int64_t count, const A* dy, int64_t dy_pitch, A* sums) {
  const A* source[kHeight];
  for (int j = 0; j < kHeight; ++j) source[j] = row_start(x, taps[j]);
  for (int64_t i = 0; i < count;) {
    Vec<A> acc[kHeight][1] = {};
    const int64_t stop = smaller(count, i + kBlockedTerms);
    for (; i < stop; ++i, dy += dy_pitch) {
      const int64_t pixel = pixels[i];
      const Vec<A> grad = load(dy);
#pragma GCC unroll 16
      for (int j = 0; j < kHeight; ++j) acc[j][0] += load(source[j] + pixel) * grad;
    }
    add_sums<A>(sums, acc, false);
  }
}

template <class A>
struct DepthwiseTiles {
  using Gather = void (*)(const A*, const int64_t*, const int64_t*, int64_t, const A*,
                          const int64_t*, int64_t, A*, bool);
  using Out = void (*)(const DepthwiseCall&, const A*, const int64_t*, const int64_t*, int64_t,
                       int64_t, const TileOutput<A>&, const int64_t*);
  using Weight = void (*)(const A*, const int64_t*, const int64_t*, int64_t, const A*, int64_t, A*);
  template <int... I>
  static Gather gather_of(int height, std::integer_sequence<int, I...>) {
    static constexpr Gather tiles[] = {depthwise_tile<A, I + 1>...};
    return tiles[height - 1];
  }
  template <int... I>
  static Out out_of(int height, std::integer_sequence<int, I...>) {
    static constexpr Out tiles[] = {depthwise_out_tile<A, I + 1>...};
    return tiles[height - 1];
  }
  template <int... I>
  static Weight weight_of(int height, std::integer_sequence<int, I...>) {
    static constexpr Weight tiles[] = {depthwise_weight_tile<A, I + 1>...};
    return tiles[height - 1];
  }
  using Heights = std::make_integer_sequence<int, kDepthwiseTile>;
  static Gather gather(int height) { return gather_of(height, Heights()); }
  static Out out(int height) { return out_of(height, Heights()); }
  static Weight weight(int height) { return weight_of(height, Heights()); }
};

// Lanes past the last channel are read, and their sums dropped: they only must not be anything
// slow.
template <class A>
CNNKERN_INLINE void clear_odd_lanes(A* strip, int64_t size, int64_t channels) {
  if (channels % lanes<A>) clear(strip, size);
}

template <class T>
inline void depthwise(const DepthwiseCall& g, const GatherScratch& scratch, int64_t begin,
                      int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  A* const strip = static_cast<A*>(scratch.strip);
  A* const sums = static_cast<A*>(scratch.sums);
  const int64_t taps = taps_of({g.blocks.axis[0], g.blocks.axis[1], g.blocks.axis[2]});
  const int64_t all_vectors = (g.channels + n - 1) / n;
  const int64_t filter_stride = g.ys[1] * g.out_parts;
  const bool whole_vectors = g.ys[1] == 1 && g.in_parts == 1 && g.out_parts == 1 &&
                             g.channels % n == 0 && taps > 0 && taps <= kBlockedTerms;
  clear_odd_lanes(strip, g.blocks.strip_size * g.in_parts, g.channels);
  int64_t block_for = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t index = task / g.channel_blocks;
    const int64_t c0 = task % g.channel_blocks * g.channel_block;
    const int64_t channels = smaller(g.channel_block, g.channels - c0);
    const Block block = block_at(g.blocks, index);
    const int64_t pixels = block.pixels();
    const bool in_place = std::is_same_v<T, A> && g.in_place_taps && inside(g.blocks, block);
    if (block_for != index) {
      source_offsets(g.blocks, block, in_place ? &g.xs : nullptr, scratch.source);
      destination_offsets(g.blocks, block, g.ys, scratch.destination,
                          filter_stride == 1 ? nullptr : scratch.stretch);
      block_for = index;
    }
    const T* const x = static_cast<const T*>(g.x) + c0 * g.in_parts * g.xs[1];
    const A* source = strip;
    if (in_place) {
      if constexpr (std::is_same_v<T, A>) source = x + source_origin(g.blocks, block, g.xs);
    } else {
      Strides xs = g.xs;
      xs[1] *= g.in_parts;
      for (int64_t i = 0; i < g.in_parts; ++i)
        pack_strip<T>(g.blocks, block, x + i * g.xs[1], xs, channels,
                      strip + i * g.blocks.strip_size);
    }
    const int64_t part = in_place ? g.xs[1] : g.blocks.strip_size;
    const int64_t* const offsets = in_place ? g.in_place_taps : g.packed_taps;
    const A* const packed = static_cast<const A*>(g.filters);

    if constexpr (std::is_same_v<T, A>) {
      if (whole_vectors) {
        const A* const bias = g.bias ? static_cast<const A*>(g.bias) + c0 : nullptr;
        A* const y = static_cast<A*>(g.y) + c0;
        const TileOutput<A> out{y, bias, residual_at(g, y), g.relu};
        for_each_tile(pixels, kDepthwiseTile, [&](int height, int64_t at) {
          DepthwiseTiles<A>::out(height)(g, source, scratch.source + at, offsets, c0 / n,
                                         (c0 + channels) / n, out, scratch.destination + at);
        });
        continue;
      }
    }
    const int64_t panels = (pixels + kDepthwisePanel - 1) / kDepthwisePanel;
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t p = pixels * panel / panels, count = pixels * (panel + 1) / panels - p;
      for (int64_t c = 0; c < channels; c += n) {
        const DepthwiseFilters at = filters_at<A>((c0 + c) / n, all_vectors, g.filter_count);
        const A* const filters = packed + at.offset;
        for (int64_t j = 0; j < g.out_parts; ++j) {
          if (!taps) clear(sums, count * n);
          for (int64_t i = 0; i < g.in_parts; ++i)
            for (int64_t t = 0; t < taps; t += kBlockedTerms) {
              const A* const filter = filters + (i + j) * all_vectors * n * g.filter_count;
              for_each_tile(count, kDepthwiseTile, [&](int height, int64_t pixel) {
                DepthwiseTiles<A>::gather(height)(source + i * part + c, scratch.source + p + pixel,
                                                  offsets + t, smaller(kBlockedTerms, taps - t),
                                                  filter, g.filter_taps + t, at.pitch,
                                                  sums + pixel * n, i == 0 && t == 0);
              });
            }
          T bias[n] = {};
          const int64_t k = (c0 + c) * g.out_parts + j, width = smaller(n, channels - c);
          if (g.bias)
            for (int64_t lane = 0; lane < width; ++lane)
              bias[lane] = static_cast<const T*>(g.bias)[k + lane * g.out_parts];
          T* const y = static_cast<T*>(g.y) + k * g.ys[1];
          store_sums<T>(sums, 1, count, width, {g.bias ? bias : nullptr, residual_at(g, y), g.relu},
                        scratch.destination + p, scratch.stretch + p, filter_stride, y);
        }
      }
    }
  }
}

template <class T>
inline void depthwise_weight_grad(const DepthwiseWeightGradCall& g,
                                  const WeightGradScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  A* const strip = static_cast<A*>(scratch.strip);
  A* const dy_panel = static_cast<A*>(scratch.dy);
  const int64_t taps = taps_of({g.blocks.axis[0], g.blocks.axis[1], g.blocks.axis[2]});
  const int64_t units = g.blocks.count(), channel_pitch = g.blocks.channels;
  const bool odd = g.channels % n != 0;
  clear_odd_lanes(strip, g.blocks.strip_size, g.channels);
  clear_odd_lanes(dy_panel, g.blocks.pixels * channel_pitch, g.channels);
  Strides ys = g.ys;
  ys[1] *= g.parts;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t split = task / g.channel_blocks;
    const int64_t c0 = task % g.channel_blocks * g.channel_block;
    const int64_t channels = smaller(g.channel_block, g.channels - c0);
    const T* const x = static_cast<const T*>(g.x) + c0 * g.xs[1];
    A* const sums = static_cast<A*>(g.sums) + task * g.sums_size;
    clear(sums, round_up(channels, n) * g.parts * (taps + 1));
    for (int64_t unit = units * split / g.splits; unit < units * (split + 1) / g.splits; ++unit) {
      const Block block = block_at(g.blocks, unit);
      const int64_t pixels = block.pixels();
      const bool in_place = std::is_same_v<T, A> && g.in_place_taps && inside(g.blocks, block);
      const int64_t* const offsets = in_place ? g.in_place_taps : g.packed_taps;
      source_offsets(g.blocks, block, in_place ? &g.xs : nullptr, scratch.source);
      const A* source = strip;
      if (!in_place)
        pack_strip<T>(g.blocks, block, x, g.xs, channels, strip);
      else if constexpr (std::is_same_v<T, A>)
        source = x + source_origin(g.blocks, block, g.xs);
      // Rows that follow each other in memory are one row.
      const bool whole = block.size[3] == g.blocks.axis[2].out && ys[3] == block.size[3] * ys[4];
      const bool dy_in_place = std::is_same_v<T, A> && !odd && ys[1] == 1 && block.size[0] == 1 &&
                               block.size[1] == 1 && (whole || block.size[2] == 1);
      for (int64_t j = 0; j < g.parts; ++j) {
        const T* const dy = static_cast<const T*>(g.dy) + c0 * ys[1] + j * g.ys[1] +
                            block.at[0] * ys[0] + block.at[1] * ys[2] + block.at[2] * ys[3] +
                            block.at[3] * ys[4];
        const A* grads = dy_panel;
        int64_t pitch = channel_pitch;
        if (dy_in_place) {
          if constexpr (std::is_same_v<T, A>) grads = dy;
          pitch = ys[4];
        } else {
          const int64_t rows = whole ? 1 : block.size[2];
          const int64_t width = whole ? block.size[2] * block.size[3] : block.size[3];
          A* out = dy_panel;
          for (int64_t i = 0; i < block.size[0]; ++i)
            for (int64_t d = 0; d < block.size[1]; ++d)
              for (int64_t h = 0; h < rows; ++h, out += width * channel_pitch)
                copy_pixels<T>(dy + i * ys[0] + d * ys[2] + h * ys[3], ys[4], ys[1], width,
                               channels, channel_pitch, out);
        }
        for (int64_t c = 0; c < channels; c += n) {
          A* const to = sums + (c * g.parts + j * n) * (taps + 1);
          const int64_t chunks = (pixels + kPixelChunk - 1) / kPixelChunk;
          for (int64_t chunk = 0; chunk < chunks; ++chunk) {
            const int64_t p = pixels * chunk / chunks, count = pixels * (chunk + 1) / chunks - p;
            const A* const from = grads + p * pitch + c;
            if (g.db) {
              CompensatedSum<A> sum;
              for (int64_t i = 0; i < count; ++i) sum.add(load(from + i * pitch));
              store(to + taps * n, load(to + taps * n) + sum.total());
            }
            if (!taps) continue;
            for_each_tile(taps, kDepthwiseTile, [&](int height, int64_t tap) {
              DepthwiseTiles<A>::weight(height)(source + c, offsets + tap, scratch.source + p,
                                                count, from, pitch, to + tap * n);
            });
          }
        }
      }
    }
  }
}

// Tasks are channel blocks; adds the splits in order.
template <class T>
inline void depthwise_weight_grad_store(const DepthwiseWeightGradCall& g, int64_t begin,
                                        int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  const auto& axis = g.blocks.axis;
  const int64_t taps = taps_of({axis[0], axis[1], axis[2]});
  const int64_t share = g.channel_blocks * g.sums_size;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t c0 = task * g.channel_block;
    const int64_t channels = smaller(g.channel_block, g.channels - c0);
    A* const sums = static_cast<A*>(g.sums) + task * g.sums_size;
    for (int64_t split = 1; split < g.splits; ++split)
      for (int64_t i = 0; i < round_up(channels, n) * g.parts * (taps + 1); i += n)
        store(sums + i, load(sums + i) + load(sums + split * share + i));
    for (int64_t c = 0; c < channels; c += n)
      for (int64_t j = 0; j < g.parts; ++j) {
        const A* const from = sums + (c * g.parts + j * n) * (taps + 1);
        const int64_t width = smaller(n, channels - c), k = (c0 + c) * g.parts + j;
        T* const to = static_cast<T*>(g.dw) + k * g.ws[0];
        for (int64_t lane = 0; lane < width; ++lane) {
          T* const filter = to + lane * g.parts * g.ws[0];
          for (int64_t d = 0; d < g.kernel[0]; ++d)
            for (int64_t h = 0; h < g.kernel[1]; ++h)
              for (int64_t w = 0; w < g.kernel[2]; ++w) {
                const int64_t td = d - axis[0].tap_first, th = h - axis[1].tap_first,
                              tw = w - axis[2].tap_first;
                const bool computed = td >= 0 && td < axis[0].taps && th >= 0 &&
                                      th < axis[1].taps && tw >= 0 && tw < axis[2].taps;
                const int64_t tap = (td * axis[1].taps + th) * axis[2].taps + tw;
                store_one(filter + d * g.ws[2] + h * g.ws[3] + w * g.ws[4],
                          computed ? from[tap * n + lane] : A(0));
              }
          if (g.db) store_one(static_cast<T*>(g.db) + k + lane * g.parts, from[taps * n + lane]);
        }
      }
  }
}
