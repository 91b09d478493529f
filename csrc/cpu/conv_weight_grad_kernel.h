// SPDX-License-Identifier: BSD-3-Clause
// dw[k, c, r] = sum over images and outputs of dy[n, k, p] * x[n, c, p * stride + r * dilation]: a
// task owns some filters and channels of a group over a share of the blocks. What a task is depends
// on the problem alone, and shares are added in order: so results do not depend on threads.

// dy of a block: [vector block][pixel][vectors * lanes].
template <class T, class A = Compute<T>>
inline void pack_output_grad(const WeightGradCall& g, const Block& block, const T* dy,
                             int64_t filters, A* out) {
  constexpr int n = lanes<A>;
  // Rows that follow each other in memory are one row.
  const bool whole = block.size[3] == g.blocks.axis[2].out && g.ys[3] == block.size[3] * g.ys[4];
  const int64_t rows = whole ? 1 : block.size[2];
  const int64_t width = whole ? block.size[2] * block.size[3] : block.size[3];
  for (int64_t k = 0; k < filters; k += kMaxVectors * n) {
    const int64_t count = smaller(kMaxVectors * n, filters - k), pitch = round_up(count, n);
    if (pitch != count) clear(out, block.pixels() * pitch);
    for (int64_t i = 0; i < block.size[0]; ++i)
      for (int64_t d = 0; d < block.size[1]; ++d)
        for (int64_t h = 0; h < rows; ++h, out += width * pitch)
          copy_pixels<T>(dy + k * g.ys[1] + (block.at[0] + i) * g.ys[0] +
                             (block.at[1] + d) * g.ys[2] + (block.at[2] + h) * g.ys[3] +
                             block.at[3] * g.ys[4],
                         g.ys[4], g.ys[1], width, count, pitch, out);
  }
}

// From pixel to pixel of a block's dy where tiles are to read it as it is, else 0. Few tiles do:
// they read it so few times that packing it would cost more.
template <class T>
CNNKERN_INLINE int64_t output_grad_pitch(const WeightGradCall& g, const Block& block,
                                         int64_t filters, int64_t rows) {
  using A = Compute<T>;
  constexpr int64_t kFewTiles = 4;
  if (!std::is_same_v<T, A> || g.ys[1] != 1 || filters % lanes<A>) return 0;
  if (rows > kFewTiles * tile_height(kMaxVectors)) return 0;
  int64_t pitch = 0, pixels = 1;
  for (int i = 3; i >= 0; --i) {
    if (block.size[i] == 1) continue;
    const int64_t stride = g.ys[i ? i + 1 : 0];
    if (pitch && stride != pitch * pixels) return 0;
    if (!pitch) pitch = stride;
    pixels *= block.size[i];
  }
  return pitch ? pitch : filters;
}

template <class A>
CNNKERN_INLINE void add_output_grad(const A* dy, int64_t pitch, int64_t pixels, int vectors,
                                    A* sums) {
  constexpr int n = lanes<A>;
  for (int v = 0; v < vectors; ++v) {
    CompensatedSum<A> sum;
    for (int64_t p = 0; p < pixels; ++p) sum.add(load(dy + p * pitch + v * n));
    store(sums + v * n, load(sums + v * n) + sum.total());
  }
}

template <class T>
inline void weight_grad(const WeightGradCall& g, const WeightGradScratch& scratch, int64_t begin,
                        int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  A* const strip = static_cast<A*>(scratch.strip);
  A* const dy_panel = static_cast<A*>(scratch.dy);
  const int64_t taps = taps_of({g.blocks.axis[0], g.blocks.axis[1], g.blocks.axis[2]});
  const int64_t units = g.blocks.count();
  for (int64_t task = begin; task < end; ++task) {
    int64_t rest = task;
    const int64_t cb = rest % g.channel_blocks;
    rest /= g.channel_blocks;
    const int64_t kb = rest % g.filter_blocks;
    rest /= g.filter_blocks;
    const int64_t group = rest % g.groups, split = rest / g.groups;
    const int64_t c0 = cb * g.channel_block, channels = smaller(g.channel_block, g.cin - c0);
    const int64_t k0 = kb * g.filter_block, filters = smaller(g.filter_block, g.cout - k0);
    const int64_t vectors = (filters + n - 1) / n, rows = taps * channels;
    const T* const x = static_cast<const T*>(g.x) + (group * g.cin + c0) * g.xs[1];
    const T* const dy = static_cast<const T*>(g.dy) + (group * g.cout + k0) * g.ys[1];
    A* const sums = static_cast<A*>(g.sums) + task * g.sums_size;
    A* const dy_sums = sums + vectors * n * rows;
    clear(dy_sums, vectors * n);
    bool first = true;

    const int64_t* row_taps = nullptr;
    for (int64_t unit = units * split / g.splits; unit < units * (split + 1) / g.splits; ++unit) {
      const Block block = block_at(g.blocks, unit);
      const int64_t pixels = block.pixels();
      const bool in_place = std::is_same_v<T, A> && g.in_place_taps && inside(g.blocks, block);
      const int64_t* const tap_offsets = in_place ? g.in_place_taps : g.packed_taps;
      if (row_taps != tap_offsets) {
        for (int64_t t = 0; t < taps; ++t)
          for (int64_t c = 0; c < channels; ++c) scratch.row[t * channels + c] = tap_offsets[t] + c;
        row_taps = tap_offsets;
      }
      source_offsets(g.blocks, block, in_place ? &g.xs : nullptr, scratch.source);
      const A* source = strip;
      if (!in_place)
        pack_strip<T>(g.blocks, block, x, g.xs, channels, strip);
      else if constexpr (std::is_same_v<T, A>)
        source = x + source_origin(g.blocks, block, g.xs);
      const int64_t dy_pitch = output_grad_pitch<T>(g, block, filters, rows);
      const A* dy_first = nullptr;
      if (!dy_pitch)
        pack_output_grad<T>(g, block, dy, filters, dy_panel);
      else if constexpr (std::is_same_v<T, A>)
        dy_first = dy + block.at[0] * g.ys[0] + block.at[1] * g.ys[2] + block.at[2] * g.ys[3] +
                   block.at[3] * g.ys[4];

      const int64_t chunks = (pixels + kPixelChunk - 1) / kPixelChunk;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const int64_t p = pixels * chunk / chunks, count = pixels * (chunk + 1) / chunks - p;
        for (int64_t v = 0; v < vectors; v += kMaxVectors) {
          const int wide = int(smaller(kMaxVectors, vectors - v));
          const int64_t pitch = dy_pitch ? dy_pitch : wide * n;
          const A* const panel =
              dy_pitch ? dy_first + p * pitch + v * n : dy_panel + v * n * pixels + p * pitch;
          if (g.db && cb == 0) add_output_grad(panel, pitch, count, wide, dy_sums + v * n);
          if (!rows) continue;
          for_each_tile(rows, tile_height(wide), [&](int height, int64_t row) {
            Tiles<A>::weight(wide, height)(source, scratch.row + row, scratch.source + p, count,
                                           panel, pitch, sums + v * n * rows + row * wide * n,
                                           first);
          });
        }
        first = false;
      }
    }
    if (first) clear(sums, vectors * n * rows);
  }
}

// Stores a row of vectors of filters: value(l) is the vector that belongs at dw + l, l < count.
template <class T, class Value>
CNNKERN_INLINE void store_filters(T* dw, int64_t filter_stride, int64_t filters, int64_t count,
                                  const Value& value) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  for (int64_t l = 0; l < count; l += n) {
    const int64_t length = smaller(n, count - l);
    Vec<A> v[n];
    for (int j = 0; j < n; ++j) v[j] = j < length ? value(l + j) : Vec<A>{};
    transpose(v);
    for (int k = 0; k < n; ++k)
      if (k < filters) store_first(dw + l + k * filter_stride, v[k], length);
  }
}

template <class T>
inline void weight_grad_store(const WeightGradCall& g, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  const auto& axis = g.blocks.axis;
  const int64_t taps = taps_of({axis[0], axis[1], axis[2]});
  const Extent& kernel = g.kernel;
  const int64_t share = g.tasks() / g.splits * g.sums_size;
  // Filters that lie as in a contiguous tensor, every tap computed: channels and taps are one row.
  const bool dense = taps == kernel[0] * kernel[1] * kernel[2] &&
                     (g.ws[4] == 1 || kernel[2] == 1) && (g.ws[3] == kernel[2] || kernel[1] == 1) &&
                     (g.ws[2] == kernel[1] * kernel[2] || kernel[0] == 1) && g.ws[1] == taps;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t cb = task % g.channel_blocks, kb = task / g.channel_blocks % g.filter_blocks;
    const int64_t group = task / g.channel_blocks / g.filter_blocks;
    const int64_t c0 = cb * g.channel_block, channels = smaller(g.channel_block, g.cin - c0);
    const int64_t k0 = kb * g.filter_block, filters = smaller(g.filter_block, g.cout - k0);
    const int64_t vectors = (filters + n - 1) / n, rows = taps * channels;
    A* const sums = static_cast<A*>(g.sums) + task * g.sums_size;
    for (int64_t split = 1; split < g.splits; ++split)
      for (int64_t i = 0; i < vectors * n * (rows + 1); i += n)
        store(sums + i, load(sums + i) + load(sums + split * share + i));

    const int64_t k_first = group * g.cout + k0;
    if (g.db && cb == 0)
      for (int64_t k = 0; k < filters; k += n)
        store_first(static_cast<T*>(g.db) + k_first + k, load(sums + vectors * n * rows + k),
                    filters - k);
    for (int64_t v = 0; v < vectors; ++v) {
      const int64_t first = v / kMaxVectors * kMaxVectors;
      const int64_t pitch = smaller(kMaxVectors, vectors - first) * n;
      const A* const from = sums + first * n * rows + (v - first) * n;
      const int64_t width = smaller(n, filters - v * n);
      T* const to = static_cast<T*>(g.dw) + (k_first + v * n) * g.ws[0] + c0 * g.ws[1];
      if (dense) {
        int64_t tap = 0, channel = 0;
        store_filters(to, g.ws[0], width, rows, [&](int64_t) {
          const Vec<A> value = load(from + (tap * channels + channel) * pitch);
          if (++tap == taps) tap = 0, ++channel;
          return value;
        });
        continue;
      }
      for (int64_t d = 0; d < kernel[0]; ++d)
        for (int64_t h = 0; h < kernel[1]; ++h)
          for (int64_t w = 0; w < kernel[2]; ++w) {
            const int64_t td = d - axis[0].tap_first, th = h - axis[1].tap_first,
                          tw = w - axis[2].tap_first;
            const bool computed = td >= 0 && td < axis[0].taps && th >= 0 && th < axis[1].taps &&
                                  tw >= 0 && tw < axis[2].taps;
            const A* const tap = from + ((td * axis[1].taps + th) * axis[2].taps + tw) *
                                            (computed ? channels * pitch : 0);
            T* const out = to + d * g.ws[2] + h * g.ws[3] + w * g.ws[4];
            if (g.ws[1] == 1) {
              store_filters(out, g.ws[0], width, channels,
                            [&](int64_t c) { return computed ? load(tap + c * pitch) : Vec<A>{}; });
              continue;
            }
            for (int64_t c = 0; c < channels; ++c)
              for (int64_t k = 0; k < width; ++k)
                store_one(out + c * g.ws[1] + k * g.ws[0], computed ? tap[c * pitch + k] : A(0));
          }
    }
  }
}
