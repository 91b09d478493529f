// SPDX-License-Identifier: BSD-3-Clause
// dx[argmax] += dy for a band of rows of dx at a time: sums are kept in Compute type in a scratch
// that holds the band with its padding, so that every tap of every window is inside, and stored
// once. Windows come in ascending order, so bits do not depend on bands. One step a window, where
// comparing (max_pool_grad.h) takes one a tap.
struct Band {
  static constexpr int64_t kMostBytes = 320 * 1024, kChannels = 64;
  int64_t channels;        // of a position that are summed at a time
  int64_t width, heights;  // positions of a row and rows of a depth, with padding
  int64_t step;            // rows of dx in a band
  int64_t size;            // elements; 0 where a band would be too large

  Band(const PoolShape& g, int64_t element) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const auto padded = [](const PoolAxis& a) {
      return larger(begin_of(a, a.output - 1) + a.pad_before + (a.kernel - 1) * a.dilation + 1,
                    a.pad_before + a.input);
    };
    channels = smaller(g.block, kChannels);
    width = padded(w);
    heights = padded(h);
    step = h.input;
    const int64_t most = kMostBytes / (width * channels * element);
    // Rows before and after those of the band, which its windows also reach.
    const int64_t halo = 2 * (h.kernel - 1) * h.dilation;
    if (padded(d) == 1 && most < heights) {
      step = smaller(step, most - halo);
      heights = step + halo;
    }
    const bool fits = step > halo / 2 && padded(d) * heights <= most;
    size = fits ? padded(d) * heights * width * channels : 0;
  }
};

// Window q begins at sums + q * step, or at sums + begins[q] where kUneven.
template <bool kUneven, class A, class I>
[[gnu::noinline]] void scatter_row(const A* dy, const I* argmax, int64_t positions, int64_t block,
                                   int64_t channels, const int32_t* offsets, int64_t taps,
                                   int64_t step, const int32_t* begins, A* sums) {
  const auto add = [&](A* to, int64_t i) __attribute__((always_inline)) {
    // Bytes have an offset each; other taps that no window has count as the first.
    const uint32_t tap = uint32_t(argmax[i]);
    to[offsets[sizeof(I) == 1 || tap < uint64_t(taps) ? tap : 0]] += dy[i];
  };
  if (block == 1) {
    for (int64_t q = 0; q < positions; ++q) add(sums + (kUneven ? begins[q] : q * step), q);
    return;
  }
  for (int64_t q = 0; q < positions; ++q, dy += block, argmax += block) {
    A* const to = sums + (kUneven ? begins[q] : q * step);
    for (int64_t c = 0; c < channels; ++c) add(to + c, c);
  }
}

template <class T>
CNNKERN_INLINE const Compute<T>* computed_row(const T* row, int64_t n, Compute<T>* buffer) {
  if constexpr (std::is_same_v<T, Compute<T>>) {
    return row;
  } else {
    for (int64_t i = 0; i < n; i += lanes<Compute<T>>)
      store(buffer + i, load_first(row + i, n - i));
    return buffer;
  }
}

template <class T, class I>
void max_grad_scatter(const PoolShape& g, const Band& band, const T* dy, const I* argmax, T* dx,
                      PoolScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t taps = d.kernel * h.kernel * w.kernel, windows = w.output * g.block;
  const int64_t row = w.input * g.block, pitch = band.width * band.channels;
  int32_t* const offsets = take<int32_t>(scratch, larger(taps, 256));
  fill(offsets, larger(taps, 256), int32_t(0));
  for (int64_t t = 0, tap = 0; t < d.kernel; ++t)
    for (int64_t r = 0; r < h.kernel; ++r)
      for (int64_t s = 0; s < w.kernel; ++s, ++tap)
        offsets[tap] = int32_t((t * d.dilation * band.heights + r * h.dilation) * pitch +
                               s * w.dilation * band.channels);
  int32_t* const begins = take<int32_t>(scratch, w.uneven ? w.output : 0);
  for (int64_t q = 0; w.uneven && q < w.output; ++q)
    begins[q] = int32_t(begin_of(w, q) * band.channels);
  const auto scatter = w.uneven ? scatter_row<true, A, I> : scatter_row<false, A, I>;
  A* const sums = take<A>(scratch, band.size + 2 * lanes<A>);
  A* const buffer = take<A>(scratch, windows + lanes<A>);

  const auto run = [&](int64_t image, int64_t h0, int64_t h1, int64_t c0) {
    // Windows of rows p0 to p1 reach rows h0 to h1; `base` is the row of the scratch's first.
    const int64_t reach = (h.kernel - 1) * h.dilation, above = h0 + h.pad_before - reach;
    int64_t p0 = above > 0 ? (above + h.stride - 1) / h.stride : 0;
    int64_t p1 = smaller((h1 - 1 + h.pad_before) / h.stride + 1, h.output);
    if (h.uneven) {
      const Steps step(h);
      p0 = covering(h, step, h0).window;
      const Cover last = covering(h, step, h1 - 1);
      p1 = last.window + last.count;
    }
    const int64_t base = smaller(begin_of(h, p0), h0) + h.pad_before;
    const int64_t channels = smaller(band.channels, g.block - c0);
    fill(sums, band.size, A(0));
    for (int64_t z = 0; z < d.output; ++z)
      for (int64_t p = p0; p < p1; ++p) {
        const int64_t from = ((image * d.output + z) * h.output + p) * windows;
        const int64_t depth = begin_of(d, z) + d.pad_before;
        A* const to = sums + (depth * band.heights + begin_of(h, p) + h.pad_before - base) * pitch;
        scatter(computed_row(dy + from, windows, buffer) + c0, argmax + from + c0, w.output,
                g.block, channels, offsets, taps, w.stride * band.channels, begins, to);
      }
    for (int64_t z = 0; z < d.input; ++z)
      for (int64_t y = h0; y < h1; ++y) {
        const int64_t at = (image * d.input + z) * h.input + y;
        if (at < begin || at >= end) continue;
        const A* from = sums +
                        ((z + d.pad_before) * band.heights + y + h.pad_before - base) * pitch +
                        w.pad_before * band.channels;
        T* to = dx + at * row + c0;
        if (channels == g.block) {
          store_row(to, from, row);
          continue;
        }
        for (int64_t x = 0; x < w.input; ++x, from += band.channels, to += g.block)
          store_row(to, from, channels);
      }
  };
  const int64_t rows = d.input * h.input;
  for (int64_t image = begin / rows; image * rows < end; ++image) {
    const int64_t first = larger(begin - image * rows, 0), last = smaller(end - image * rows, rows);
    const int64_t h0 = d.input == 1 ? first : 0, h1 = d.input == 1 ? last : h.input;
    for (int64_t y = h0; y < h1; y += band.step)
      for (int64_t c = 0; c < g.block; c += band.channels)
        run(image, y, smaller(y + band.step, h1), c);
  }
}
