// SPDX-License-Identifier: BSD-3-Clause
// dx where windows of two columns lie side by side: a row of dx has one row of windows, whose
// gradients and zeros are merged into it.

// The windows of an axis where none overlap: which covers a position, and with which of its taps.
struct Covered {
  int64_t window, tap;  // window -1: none
};
inline const Covered* covered_positions(const PoolAxis& a, PoolScratch& scratch) {
  Covered* const all = take<Covered>(scratch, a.input);
  const Steps step(a);
  for (int64_t i = 0; i < a.input; ++i) {
    const Cover cover = covering(a, step, i + a.pad_before);
    all[i] = {cover.count ? cover.window : -1, cover.tap};
  }
  return all;
}

// Rows of windows of two columns each, R rows of dx from each; the first of these meets `tap`.
struct PairRows {
  int64_t count, windows, tap, pitch;  // rows of windows, windows of a row; elements of a row of dx
  // What may be read and written from the first of them on: vectors read windows of later rows, and
  // write where rows of dx are made later.
  int64_t readable, writable;
};
template <int R, class T, class I>
[[gnu::noinline]] void spread_pairs(PairRows rows, const T* dy, const I* argmax, T* dx) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  const int64_t pitch = rows.pitch, whole = smaller(rows.windows, pitch / 2);
  const Vec<A> zero{};  // sums begin with it, so that none is -0
  Mask<A> wanted[2 * R];
  for (int t = 0; t < 2 * R; ++t) wanted[t] = splat_index<A>(rows.tap + t);
  const auto spread = [&](Vec<A> v, Mask<A> which, const auto& put) __attribute__((always_inline)) {
    for (int r = 0; r < R; ++r) {
      Vec<A> a, b;
      merge_pairs<A>((Vec<A>)((Mask<A>)v & (which == wanted[2 * r])),
                     (Vec<A>)((Mask<A>)v & (which == wanted[2 * r + 1])), a, b);
      put(r, a, b);
    }
  };
  const auto spread_at = [&](int64_t i) __attribute__((always_inline)) {
    spread(load(dy + i) + zero, load_index<A>(argmax + i),
           [&](int r, Vec<A> a, Vec<A> b) __attribute__((always_inline)) {
             store(dx + r * pitch + 2 * i, a);
             store(dx + r * pitch + 2 * i + kLanes, b);
           });
  };
  for (; rows.count > 0; --rows.count) {
    if (whole >= kLanes) {
      int64_t i = 0;
      for (; i + kLanes <= whole; i += kLanes) spread_at(i);
      if (i < whole) spread_at(whole - kLanes);
    } else if (rows.readable >= kLanes && rows.writable >= (R - 1) * pitch + 2 * kLanes) {
      spread_at(0);
    } else {
      I some[kLanes] = {};
      for (int64_t i = 0; i < whole; ++i) some[i] = argmax[i];
      spread(load_first(dy, whole) + zero, load_index<A>(some), [&](int r, Vec<A> a, Vec<A> b) {
        store_first(dx + r * pitch, a, 2 * whole);
        store_first(dx + r * pitch + kLanes, b, 2 * whole - kLanes);
      });
    }
    // A column that no window has, or half a window.
    for (int r = 0; r < R && 2 * whole < pitch; ++r) {
      const bool chosen = whole < rows.windows && int64_t(argmax[whole]) == rows.tap + 2 * r;
      store_one(dx + r * pitch + pitch - 1, chosen ? A(0) + load_one(dy + whole) : A(0));
    }
    dy += rows.windows, argmax += rows.windows, dx += R * pitch;
    rows.readable -= rows.windows, rows.writable -= R * pitch;
  }
}

template <class T, class I>
void max_grad_pairs(const PoolShape& g, const T* dy, const I* argmax, T* dx, PoolScratch& scratch,
                    int64_t begin, int64_t end) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input, n = w.output;
  const Covered* const depths = covered_positions(d, scratch);
  const Covered* const heights = covered_positions(h, scratch);
  // Rows of windows that take all of R rows side by side, without a rest between planes.
  const int64_t taps = h.dilation == 1 ? h.kernel : 0;
  const int64_t together = taps <= 2 && taps == h.stride ? taps : 0;
  const bool no_rest =
      d.input == 1 && d.output == 1 && h.pad_before == 0 && h.input == together * h.output;
  for (RowIndex at(begin, d.input, h.input); begin < end; at.next()) {
    const Covered z = depths[at.depth], y = heights[at.height];
    T* const out = dx + begin * row;
    if (z.window < 0 || y.window < 0) {
      fill(out, row, T{});
      ++begin;
      continue;
    }
    const int64_t from = (at.image * d.output + z.window) * h.output + y.window;
    int64_t count = 0;
    if (together != 0 && y.tap == 0)
      count = smaller(end - begin, no_rest ? end : h.input - at.height) / together;
    if (!no_rest) count = smaller(count, h.output - y.window);
    const int64_t R = count ? together : 1;
    const PairRows rows{larger(count, 1),
                        n,
                        (z.tap * h.kernel + y.tap) * 2,
                        row,
                        (g.images * d.output * h.output - from) * n,
                        (end - begin) * row};
    (R == 2 ? spread_pairs<2, T, I> : spread_pairs<1, T, I>)(rows, dy + from * n, argmax + from * n,
                                                             out);
    begin += rows.count * R;
    if (no_rest)
      at = RowIndex(begin - 1, d.input, h.input);
    else
      at.height += rows.count * R - 1;
  }
}
// The last window may have one column, and one column may be left over.
CNNKERN_INLINE bool windows_of_pairs(const PoolShape& g) {
  for (const PoolAxis& a : g.axis)
    if (a.uneven || (a.kernel - 1) * a.dilation >= a.stride) return false;
  const PoolAxis& w = g.axis[2];
  return g.block == 1 && w.kernel == 2 && w.dilation == 1 && w.stride == 2 && w.pad_before == 0 &&
         2 * w.output >= w.input - 1 && 2 * w.output <= w.input + 1;
}
