// SPDX-License-Identifier: BSD-3-Clause
// What max and average pooling share: windows are separable, so the rows of a window are joined
// first, all columns at unit stride, then the columns of that one row: R + S steps a result
// instead of R * S.

struct Sum {
  static constexpr bool kWatch = false;
  using Checked = Sum;
  using Careful = Sum;
  template <class A>
  static constexpr A kIdentity = 0;
  template <class V>
  CNNKERN_INLINE static V join(V so_far, V v) {
    return so_far + v;
  }
};
struct MaxNan {
  static constexpr bool kWatch = false;
  template <class A>
  static constexpr A kIdentity = -std::numeric_limits<A>::infinity();
  template <class V>
  CNNKERN_INLINE static V join(V so_far, V v) {
    return larger_or_nan(so_far, v);
  }
};
// One instruction, which drops NaN: for values known to hold none.
struct MaxNumber {
  static constexpr bool kWatch = false;
  template <class A>
  static constexpr A kIdentity = -std::numeric_limits<A>::infinity();
  template <class V>
  CNNKERN_INLINE static V join(V so_far, V v) {
    return v > so_far ? v : so_far;
  }
};
// Sums up what it sees as well: where that sum is NaN the work is done again with MaxNan.
struct Max : MaxNumber {
  static constexpr bool kWatch = true;
  using Checked = MaxNumber;
  using Careful = MaxNan;
};

// The rows that the windows of a row of results take from.
template <class T>
struct WindowRows {
  const PoolShape& g;
  Window *depths, *heights;
  int64_t row, count = 0;
  const T** rows;

  WindowRows(const PoolShape& g_, PoolScratch& scratch)
      : g(g_), row(g.axis[2].input * g.block), rows(take<const T*>(scratch, most_rows(g))) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1];
    depths = take<Window>(scratch, d.output);
    heights = take<Window>(scratch, h.output);
    // Where the first tap inside lies, in place of its number.
    for (int64_t q = 0; q < d.output; ++q) depths[q] = placed(d, q);
    for (int64_t q = 0; q < h.output; ++q) heights[q] = placed(h, q);
  }
  CNNKERN_INLINE static Window placed(const PoolAxis& a, int64_t q) {
    const Window s = inside(a, q);
    return {begin_of(a, q) + s.first * a.dilation, s.count};
  }
  CNNKERN_INLINE void find(const RowIndex& at, const T* x) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1];
    const Window t = depths[at.depth], r = heights[at.height];
    const T* depth = x + ((at.image * d.input + t.first) * h.input + r.first) * row;
    count = 0;
    for (int64_t i = 0; i < t.count; ++i, depth += d.dilation * h.input * row)
      for (int64_t j = 0; j < r.count; ++j) rows[count++] = depth + j * h.dilation * row;
  }
};

// The element-wise join of some rows (N of them where N is not 0), and the identity up to a whole
// vector where they are shorter. True if NaN may have been dropped. `ahead` leads to what the next
// row of results will read: hardware prefetches along rows only.
template <class Rule, int N, class T>
[[gnu::noinline]] bool join_some_rows(const T* const* rows, int64_t count, int64_t n, int64_t ahead,
                                      Compute<T>* out) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  const T* own[N ? N : 1];
  for (int k = 0; k < N; ++k) own[k] = rows[k];
  Mask<A> nan{};
  const auto join = [&](int64_t i, const auto& load_row) __attribute__((always_inline)) {
    Vec<A> joined = load_row((N ? own[0] : rows[0]) + i), watched = joined;
    for (int64_t k = 1; k < (N ? N : count); ++k) {
      const Vec<A> v = load_row((N ? own[k] : rows[k]) + i);
      joined = Rule::join(joined, v);
      if (Rule::kWatch) watched += v;
    }
    if (Rule::kWatch) nan |= watched != watched;
    return joined;
  };
  if (n < kLanes) {
    const Vec<A> v = join(0, [&](const T* p) { return load_first(p, n); });
    store(out, first_lanes<A>(v, splat(Rule::template kIdentity<A>), n));
  } else {
    const auto whole = [&](const T* p) __attribute__((always_inline)) {
      __builtin_prefetch(p + ahead);
      return load(p);
    };
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(out + i, join(i, whole));
    if (i < n) store(out + n - kLanes, join(n - kLanes, whole));
  }
  return Rule::kWatch && any(nan);
}
template <class Rule, class T>
CNNKERN_INLINE bool join_rows(const T* const* rows, int64_t count, int64_t n, int64_t ahead,
                              Compute<T>* out) {
  if (count == 0) {
    fill(out, n, Rule::template kIdentity<Compute<T>>);
    return false;
  }
  if (std::is_same_v<Rule, MaxNan>) return join_some_rows<Rule, 0>(rows, count, n, ahead, out);
  if (count == 2) return join_some_rows<Rule, 2>(rows, count, n, ahead, out);
  if (count == 3) return join_some_rows<Rule, 3>(rows, count, n, ahead, out);
  return join_some_rows<Rule, 0>(rows, count, n, ahead, out);
}

// Joins the taps of all windows of a line: N of them where it is not 0. Room for a vector beyond
// the n elements of `out`, which are finish(joined, element).
template <class Rule, int N, class A, class Finish>
CNNKERN_INLINE void join_some_columns(const Line<A>& shape, int64_t taps, const A* line, int64_t n,
                                      const Finish& finish, A* out) {
  const A* from[N ? N : 1];
  for (int s = 0; s < N; ++s) from[s] = line + shape.at[s];
  for (int64_t i = 0; i < n; i += lanes<A>) {
    Vec<A> v = load((N ? from[0] : line + shape.at[0]) + i);
    for (int64_t s = 1; s < (N ? N : taps); ++s)
      v = Rule::join(v, load((N ? from[s] : line + shape.at[s]) + i));
    store(out + i, finish(v, i));
  }
}
template <class Rule, class A, class Finish>
[[gnu::noinline]] void join_columns(const Line<A>& shape, int64_t taps, const A* line, int64_t n,
                                    const Finish& finish, A* out) {
  if (!std::is_same_v<Rule, MaxNan>) {
    if (taps == 2) return join_some_columns<Rule, 2>(shape, taps, line, n, finish, out);
    if (taps == 3) return join_some_columns<Rule, 3>(shape, taps, line, n, finish, out);
  }
  join_some_columns<Rule, 0>(shape, taps, line, n, finish, out);
}

// The same where windows have different sizes: a vector at each tap, which the next window's mends
// where positions have fewer elements.
template <class Rule, class A, class Finish>
[[gnu::noinline]] void join_uneven_columns(const Window* windows, int64_t count, int64_t block,
                                           const A* line, const Finish& finish, A* out) {
  for (int64_t q = 0; q < count; ++q) {
    const A* from = line + windows[q].first * block;
    Vec<A> v = load(from);
    for (int64_t s = 1; s < windows[q].count; ++s) v = Rule::join(v, load(from += block));
    store(out + q * block, finish(v, q * block));
  }
}

// Where to compute a row of results: in place where they need no conversion and `room`, what this
// task writes from `out` on, holds what vectors overrun, since later rows mend that; else a buffer.
template <class T>
CNNKERN_INLINE Compute<T>* result_place(T* out, int64_t room, int64_t overrun, Compute<T>* buffer) {
  if constexpr (std::is_same_v<T, Compute<T>>) {
    if (room >= overrun) return out;
  }
  return buffer;
}
template <class T>
[[gnu::noinline]] void store_row(T* out, const Compute<T>* row, int64_t n) {
  if (static_cast<const void*>(out) == row) return;
  for (int64_t i = 0; i < n; i += lanes<Compute<T>>) store_first(out + i, load(row + i), n - i);
}

// Windows that are whole planes: one run each.
CNNKERN_INLINE bool whole_planes(const PoolShape& g) {
  bool whole = g.block == 1;
  for (const PoolAxis& a : g.axis)
    whole &= a.output == 1 && a.kernel == a.input && a.pad_before == 0 && a.dilation == 1;
  return whole;
}
template <class Rule, class T>
[[gnu::noinline]] Compute<T> join_run(const T* x, int64_t n) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  const Vec<A> rest = splat(Rule::template kIdentity<A>);
  Vec<A> joined[2] = {rest, rest};
  Mask<A> nan{};
  const auto add = [&](int v, Vec<A> value) __attribute__((always_inline)) {
    joined[v] = Rule::join(joined[v], value);
    if (Rule::kWatch) nan |= value != value;
  };
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    add(0, load(x + i));
    add(1, load(x + i + kLanes));
  }
  for (; i < n; i += kLanes) add(0, first_lanes<A>(load_first(x + i, n - i), rest, n - i));
  if (Rule::kWatch && any(nan)) return std::numeric_limits<A>::quiet_NaN();
  A parts[lanes<A>];
  store(parts, Rule::join(joined[0], joined[1]));
  for (int half_count = lanes<A> / 2; half_count; half_count /= 2)
    for (int k = 0; k < half_count; ++k) {
      const A a = parts[k], b = parts[k + half_count];
      parts[k] = std::is_same_v<Rule, Sum> ? a + b : a > b ? a : b;
    }
  return parts[0];
}
