// SPDX-License-Identifier: BSD-3-Clause
// Convolution into few channels with pixels for lanes: the columns where a tap meets them, times
// one filter's value. Serves forward and input gradients. All phases of a gradient are made from
// one strip.

// Vectors of pixels of the longest tile of so many filters: as many sums as registers hold beside
// operands.
constexpr int pixel_vectors(int64_t filters) {
  constexpr int few[] = {8, 6, 4, 3}, many[] = {12, 12, 8, 6};
  return kRegisters == 32 ? many[filters - 1] : few[filters - 1];
}

// What a tile reads: x[tap + channel * plane + pixel] and filters[tap][channel][filter].
template <class A>
struct PixelTerms {
  const A* x;
  int64_t plane, channels;
  const int64_t* taps;
  int64_t count;
  const A* filters;
  int64_t tap_pitch;
};

// sums[filter][pixel] = or += x * filters over the terms.
template <class A, int kFilters, int kVectors>
inline void pixel_tile(const PixelTerms<A>& g, int64_t at, A* sums, int64_t sums_plane,
                       bool first) {
  constexpr int n = lanes<A>;
  Vec<A> acc[kFilters][kVectors] = {};
  const A* filters = g.filters;
  for (int64_t t = 0; t < g.count; ++t, filters += g.tap_pitch) {
    const A *source = row_start(g.x + at, g.taps[t]), *w = filters;
    for (int64_t c = 0; c < g.channels; ++c, source += g.plane, w += n) {
      // Operands that there are fewer of stay in registers.
      if constexpr (kVectors >= kFilters) {
        Vec<A> value[kFilters];
#pragma GCC unroll 4
        for (int k = 0; k < kFilters; ++k) value[k] = splat(w[k]);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          const Vec<A> pixels = load(source + v * n);
#pragma GCC unroll 4
          for (int k = 0; k < kFilters; ++k) acc[k][v] += pixels * value[k];
        }
      } else {
        Vec<A> pixels[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) pixels[v] = load(source + v * n);
#pragma GCC unroll 4
        for (int k = 0; k < kFilters; ++k) {
          const Vec<A> value = splat(w[k]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) acc[k][v] += pixels[v] * value;
        }
      }
    }
  }
  sums += at;
#pragma GCC unroll 4
  for (int k = 0; k < kFilters; ++k, sums += sums_plane)
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      store(sums + v * n, first ? acc[k][v] : load(sums + v * n) + acc[k][v]);
}

template <class A>
struct PixelTiles {
  using Tile = void (*)(const PixelTerms<A>&, int64_t, A*, int64_t, bool);
  template <int kFilters, int... I>
  static Tile of(int vectors, std::integer_sequence<int, I...>) {
    static constexpr Tile tiles[] = {pixel_tile<A, kFilters, I + 1>...};
    return tiles[vectors - 1];
  }
  template <int kFilters>
  static Tile of(int vectors) {
    return of<kFilters>(vectors, std::make_integer_sequence<int, pixel_vectors(kFilters)>());
  }
  static Tile tile(int64_t filters, int vectors) {
    if (filters <= 2) return filters == 1 ? of<1>(vectors) : of<2>(vectors);
    return filters == 3 ? of<3>(vectors) : of<4>(vectors);
  }
};

// What a block of outputs at `at` reads of some channels, from `x` on.
template <class T, class A = Compute<T>>
inline void pack_pixels(const PixelCall& g, const Extent& at, const Extent& size, const T* x,
                        int64_t channels, A* strip) {
  Extent from, extent;
  for (int i = 0; i < 3; ++i) {
    from[i] = at[i] * g.stride[i] + g.first[i];
    extent[i] = (size[i] - 1) * g.stride[i] + g.reach[i];
  }
  const int64_t begin = larger(0, smaller(-from[2], extent[2]));
  const int64_t end = larger(begin, smaller(g.in[2] - from[2], extent[2]));
  for (int64_t i = 0; i < extent[0]; ++i)
    for (int64_t j = 0; j < extent[1]; ++j) {
      const int64_t d = from[0] + i, h = from[1] + j;
      A* const row = strip + i * g.slice + j * g.row;
      const bool outside = d < 0 || d >= g.in[0] || h < 0 || h >= g.in[1];
      const int64_t left = outside ? extent[2] : begin, right = outside ? extent[2] : end;
      for (int64_t c = 0; c < channels; ++c) {
        A* const to = row + c * g.plane;
        for (int64_t e = 0; e < left; ++e) to[e] = 0;
        for (int64_t e = right; e < extent[2]; ++e) to[e] = 0;
      }
      // Channels take the place of pixels here: each has a row of its own.
      if (left < right)
        copy_pixels<T>(x + d * g.xs[2] + h * g.xs[3] + (from[2] + left) * g.xs[4], g.xs[1], g.xs[4],
                       channels, right - left, g.plane, row + left);
    }
}

// A row of one phase and channel, to every step-th element of y. residual: where y is, or null.
template <class T, class A = Compute<T>>
inline void store_pixels(const A* sums, int64_t pixels, A bias, const T* residual, bool relu, T* y,
                         int64_t step) {
  constexpr int n = lanes<A>;
  const Vec<A> b = splat(bias);
  for (int64_t i = 0; i < pixels; i += n) {
    Vec<A> value = load(sums + i) + b;
    if (step == 1) {
      if (residual) value += load_first(residual + i, pixels - i);
      store_first(y + i, finish<A>(value, relu), pixels - i);
      continue;
    }
    alignas(CNNKERN_WIDTH) A one[n] = {};
    const int64_t count = smaller(n, pixels - i);
    if (residual) {
      for (int64_t j = 0; j < count; ++j) one[j] = load_one(residual + (i + j) * step);
      value += load(one);
    }
    store(one, finish<A>(value, relu));
    for (int64_t j = 0; j < count; ++j) store_one(y + (i + j) * step, one[j]);
  }
}

// Rows of two phases whose columns lie side by side in y; forward convolutions have but one.
template <class T, class A = Compute<T>>
inline void store_pixel_pairs(const A* even, const A* odd, int64_t pixels, A bias, bool relu,
                              T* y) {
  constexpr int n = lanes<A>;
  const Vec<A> b = splat(bias);
  for (int64_t i = 0; i < pixels; i += 2 * n) {
    Vec<A> left, right;
    merge_pairs<A>(finish<A>(load(even + i / 2) + b, relu), finish<A>(load(odd + i / 2) + b, relu),
                   left, right);
    store_first(y + i, left, pixels - i);
    store_first(y + i + n, right, pixels - i - n);
  }
}

// One phase's sums over the channels of a strip.
template <class A>
inline void add_phase(const PixelCall& g, const PixelPhase& phase, int64_t rows, int64_t width,
                      const A* strip, int64_t channels, const A* filters, A* sums, bool first) {
  constexpr int n = lanes<A>;
  const int64_t taps = taps_of(phase.axes), tap_pitch = g.cin * n;
  const int64_t lines = g.run_on ? 1 : rows;
  const int64_t length = g.run_on ? (rows - 1) * g.row + width : width;
  for (int64_t line = 0; line < lines; ++line) {
    const A* const x = strip + line * g.stride[1] * g.row;
    A* const to = sums + line * g.row;
    for_each_tile((length + n - 1) / n, pixel_vectors(g.cout), [&](int vectors, int64_t v) {
      const auto tile = PixelTiles<A>::tile(g.cout, vectors);
      for (int64_t t = 0; t < taps; t += g.segment_taps)
        tile({x, g.plane, channels, phase.taps + t, smaller(g.segment_taps, taps - t),
              filters + t * tap_pitch, tap_pitch},
             v * n, to, g.sums_plane, first && t == 0);
    });
  }
}

template <class T>
inline void pixels(const PixelCall& g, const PixelScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  A* const strip = static_cast<A*>(scratch.strip);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task % g.groups;
    int64_t rest = task / g.groups;
    Extent at, size;
    for (int i = 2; i >= 0; --i) {
      at[i] = rest % g.blocks[i] * g.block[i];
      size[i] = smaller(g.block[i], g.lattice[i] - at[i]);
      rest /= g.blocks[i];
    }
    const T* const x = static_cast<const T*>(g.x) + rest * g.xs[0] + group * g.cin * g.xs[1];
    T* const y = static_cast<T*>(g.y) + rest * g.ys[0] + group * g.cout * g.ys[1];
    const auto outputs = [&](int64_t p, int i) {
      return smaller(size[i], g.phases[p].axes[i].out - at[i]);
    };
    const auto sums_of = [&](int64_t p) {
      return static_cast<A*>(scratch.sums) + p * g.cout * g.sums_plane;
    };
    // body(p, rows, width) for each phase that has outputs in the block.
    const auto for_each_phase = [&](const auto& body) {
      for (int64_t p = 0; p < g.phase_count; ++p)
        if (outputs(p, 0) > 0 && outputs(p, 1) > 0 && outputs(p, 2) > 0)
          body(p, outputs(p, 1), outputs(p, 2));
    };
    for (int64_t c = 0; c < g.cin; c += g.channels) {
      const int64_t channels = smaller(g.channels, g.cin - c);
      pack_pixels<T>(g, at, size, x + c * g.xs[1], channels, strip);
      for_each_phase([&](int64_t p, int64_t rows, int64_t width) {
        const PixelPhase& phase = g.phases[p];
        const A* const filters =
            static_cast<const A*>(phase.filters) + (group * taps_of(phase.axes) * g.cin + c) * n;
        add_phase(g, phase, rows, width, strip, channels, filters, sums_of(p), c == 0);
      });
    }
    const bool pairs = g.ys[4] == 1 && g.phases[0].axes[2].spacing == 2 && g.phase_count > 1 &&
                       g.phases[1].axes[2].first == 1;
    for_each_phase([&](int64_t p, int64_t rows, int64_t width) {
      const PixelPhase& phase = g.phases[p];
      const A* const sums = sums_of(p);
      const auto position = [&](int i, int64_t o) {
        return (phase.axes[i].first + (at[i] + o) * phase.axes[i].spacing) * g.ys[i + 2];
      };
      if (pairs && phase.axes[2].first == 1) return;  // stored with the phase before it
      const int64_t odd = pairs ? larger(0, outputs(p + 1, 2)) : 0;
      for (int64_t k = 0; k < g.cout; ++k) {
        const A bias = g.bias ? load_one(static_cast<const T*>(g.bias) + group * g.cout + k) : A(0);
        for (int64_t row = 0; row < rows; ++row) {
          const A* const from = sums + k * g.sums_plane + row * g.row;
          T* const to = y + k * g.ys[1] + position(0, 0) + position(1, row) + position(2, 0);
          if (pairs)
            store_pixel_pairs<T>(from, from + g.cout * g.sums_plane, width + odd, bias, g.relu, to);
          else
            store_pixels<T>(from, width, bias, residual_at(g, to), g.relu, to,
                            phase.axes[2].spacing * g.ys[4]);
        }
      }
    });
  }
}
