// SPDX-License-Identifier: BSD-3-Clause
// The argmax of windows of two or three columns, each two columns on, and as few rows: a vector of
// windows is compared tap by tap, right from the rows of x.

// The best so far and its tap. Where all taps are -infinity the first inside the input stays.
template <class Rule, class A>
CNNKERN_INLINE void take_larger(Vec<A>& best, Mask<A>& at, Vec<A> v, Mask<A> tap) {
  Mask<A> larger_tap = v > best;
  if (!Rule::kWatch) larger_tap |= v != v;
  best = larger_tap ? v : best;
  at = larger_tap ? tap : at;
}

// Rows of windows with K columns and R rows of x each, `step` elements apart. Vectors read rows of
// later windows and write where later rows are made, up to `readable` and `writable`.
struct DirectRows {
  int64_t count, windows, pitch, step, readable, writable;
};
template <int K, int R, class T, class I>
[[gnu::noinline]] void compare_direct(DirectRows rows, const T* x, T* y, I* argmax) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  const int64_t pitch = rows.pitch, n = rows.windows;
  const int64_t whole = pitch < K ? 0 : smaller(n, (pitch - K) / 2 + 1);
  const auto compare = [&](const auto& load_row, const auto& put) __attribute__((always_inline)) {
    Vec<A> best{};
    Mask<A> which{};
    for (int r = 0; r < R; ++r) {
      Vec<A> v[3], rest;
      split_pairs<A>(load_row(r, 0), load_row(r, kLanes), v[0], v[1]);
      if (K == 3) split_pairs<A>(load_row(r, 2), load_row(r, 2 + kLanes), v[2], rest);
      if (r == 0) best = v[0];
      for (int s = r == 0; s < K; ++s)
        take_larger<MaxNan, A>(best, which, v[s], splat_index<A>(r * K + s));
    }
    put(best, which);
  };
  const auto compare_at = [&](int64_t i) __attribute__((always_inline)) {
    compare([&](int r, int64_t k) { return load(x + r * pitch + 2 * i + k); },
            [&](Vec<A> best, Mask<A> which) {
              store(y + i, best);
              store_index<A>(argmax + i, which);
            });
  };
  // What vectors read of a row, from the first of `whole` windows on.
  const int64_t reach = (R - 1) * pitch + 2 * larger(whole, kLanes) + (K == 3 ? 2 : 0);
  for (; rows.count > 0; --rows.count) {
    if (rows.readable >= reach && rows.writable >= kLanes) {
      for (int64_t i = 0; i < whole; i += kLanes) compare_at(larger(smaller(i, whole - kLanes), 0));
    } else {
      for (int64_t i = 0; i < whole; i += kLanes)
        compare([&](int r,
                    int64_t k) { return load_first(x + r * pitch + 2 * i + k, pitch - 2 * i - k); },
                [&](Vec<A> best, Mask<A> which) {
                  store_first(y + i, best, whole - i);
                  store_index_first<A>(argmax + i, which, whole - i);
                });
    }
    for (int64_t q = whole; q < n; ++q) {  // cut off
      A best = load_one(x + 2 * q);
      int64_t which = 0;
      for (int64_t r = 0; r < R; ++r)
        for (int64_t s = 0; s < pitch - 2 * q; ++s) {
          const A v = load_one(x + r * pitch + 2 * q + s);
          if (!(v > best || v != v)) continue;
          best = v;
          which = r * K + s;
        }
      store_one(y + q, best);
      argmax[q] = I(which);
    }
    x += rows.step, y += n, argmax += n;
    rows.readable -= rows.step, rows.writable -= n;
  }
}

// Windows that are whole planes: the lanes of one run each, then the best of the lanes.
template <class T, class I>
void argmax_planes(const PoolShape& g, const T* x, T* y, I* argmax, PoolScratch&, int64_t begin,
                   int64_t end) {
  using A = Compute<T>;
  constexpr int kLanes = lanes<A>;
  const int64_t n = g.axis[0].input * g.axis[1].input * g.axis[2].input;
  const Vec<A> rest = splat(MaxNan::kIdentity<A>);
  Mask<A> lane{};
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  for (; begin < end; ++begin) {
    const T* const run = x + begin * n;
    Vec<A> best = rest;
    Mask<A> which = lane, at = lane;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes, at += kLanes)
      take_larger<MaxNan, A>(best, which, load(run + i), at);
    if (i < n)
      take_larger<MaxNan, A>(best, which, first_lanes<A>(load_first(run + i, n - i), rest, n - i),
                             at);
    A value = best[0];
    LaneInt<A> tap = which[0];
    for (int k = 1; k < kLanes; ++k) {
      const A other = best[k];
      const LaneInt<A> number = which[k];
      // The last NaN, else the first of the largest.
      const bool wins = other != other ? value == value || number > tap
                                       : other > value || (other == value && number < tap);
      value = wins ? other : value;
      tap = wins ? number : tap;
    }
    store_one(y + begin, value);
    argmax[begin] = I(tap);
  }
}

// No padding before, and all windows begin inside.
CNNKERN_INLINE bool windows_are_direct(const PoolShape& g) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const auto begins_inside = [](const PoolAxis& a) {
    return !a.uneven && a.dilation == 1 && a.pad_before == 0 && a.kernel <= 3 &&
           (a.output - 1) * a.stride < a.input;
  };
  return g.block == 1 && d.input == 1 && d.output == 1 && d.kernel == 1 && begins_inside(h) &&
         begins_inside(w) && w.kernel >= 2 && w.stride == 2;
}
template <class T, class I>
void argmax_direct(const PoolShape& g, const T* x, T* y, I* argmax, PoolScratch&, int64_t begin,
                   int64_t end) {
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input, n = w.output;
  // Rows of windows, of a plane, that have all of their rows of taps.
  const int64_t whole =
      h.input < h.kernel ? 0 : smaller((h.input - h.kernel) / h.stride + 1, h.output);
  const bool no_rest = h.input == h.stride * h.output && whole == h.output;
  while (begin < end) {
    const int64_t image = begin / h.output, p = begin % h.output;
    const int64_t from = image * h.input + p * h.stride;
    const int64_t rest = no_rest ? end - begin : whole - p;
    const int64_t taps = smaller(h.kernel, h.input - p * h.stride);
    const DirectRows rows{larger(smaller(rest, end - begin), 1),
                          n,
                          row,
                          h.stride * row,
                          (g.images * h.input - from) * row,
                          (end - begin) * n};
    const auto run = w.kernel == 2 ? (taps == 1   ? compare_direct<2, 1, T, I>
                                      : taps == 2 ? compare_direct<2, 2, T, I>
                                                  : compare_direct<2, 3, T, I>)
                                   : (taps == 1   ? compare_direct<3, 1, T, I>
                                      : taps == 2 ? compare_direct<3, 2, T, I>
                                                  : compare_direct<3, 3, T, I>);
    run(rows, x + from * row, y + begin * n, argmax + begin * n);
    begin += rows.count;
  }
}
