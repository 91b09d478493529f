// SPDX-License-Identifier: BSD-3-Clause
// What max and average pooling share: windows are separable, so the rows of a window are joined
// first, all columns at unit stride, then the columns of that one row: R + S steps a result
// instead of R * S. Where positions hold a vector of channels and windows overlap little, taps are
// joined directly.

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

// Joins the taps of all windows of a line: `number` of them where it is not 0. Room for a vector
// beyond the n elements of `out`; divides by divisors * divisor where there are any.
template <class Rule, int N, class A>
[[gnu::noinline]] void join_some_columns(const Line<A>& shape, int64_t taps, const A* line,
                                         int64_t n, const A* divisors, A divisor, A* out) {
  constexpr int64_t kLanes = lanes<A>;
  const A* from[N ? N : 1];
  for (int s = 0; s < N; ++s) from[s] = line + shape.at[s];
  for (int64_t i = 0; i < n; i += kLanes) {
    Vec<A> v = load((N ? from[0] : line + shape.at[0]) + i);
    for (int64_t s = 1; s < (N ? N : taps); ++s)
      v = Rule::join(v, load((N ? from[s] : line + shape.at[s]) + i));
    if (std::is_same_v<Rule, Sum>) v = v / (load(divisors + i) * splat(divisor));
    store(out + i, v);
  }
}
template <class Rule, class A>
CNNKERN_INLINE void join_columns(const Line<A>& shape, int64_t taps, const A* line, int64_t n,
                                 const A* divisors, A divisor, A* out) {
  if (!std::is_same_v<Rule, MaxNan>) {
    if (taps == 2) return join_some_columns<Rule, 2>(shape, taps, line, n, divisors, divisor, out);
    if (taps == 3) return join_some_columns<Rule, 3>(shape, taps, line, n, divisors, divisor, out);
  }
  join_some_columns<Rule, 0>(shape, taps, line, n, divisors, divisor, out);
}

// The same where windows have different sizes: a vector at each tap, which the next window's mends
// where positions have fewer elements.
template <class Rule, class A>
[[gnu::noinline]] void join_uneven_columns(const PoolAxis& w, int64_t block, const A* line,
                                           const A* divisors, A divisor, A* out) {
  for (int64_t q = 0; q < w.output; ++q) {
    const int64_t count = inside(w, q).count;
    const A* from = line + begin_of(w, q) * block;
    Vec<A> v = load(from);
    for (int64_t s = 1; s < count; ++s) v = Rule::join(v, load(from += block));
    if (std::is_same_v<Rule, Sum>) v = v / (load(divisors + q * block) * splat(divisor));
    store(out + q * block, v);
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

// Positions with at least a vector of channels: joins the taps of one window, V vectors from
// channel c on. Rows are those of the window, `offset` leads to its first tap inside.
template <class Rule, int V, class T>
CNNKERN_INLINE bool join_channels(const T* const* rows, int64_t count, int64_t offset, int64_t step,
                                  int64_t taps, Vec<Compute<T>> (&joined)[V]) {
  using A = Compute<T>;
  Vec<A> watched[V];
  for (int v = 0; v < V; ++v) {
    joined[v] = splat(Rule::template kIdentity<A>);
    watched[v] = Vec<A>{};
  }
  for (int64_t k = 0; k < count; ++k) {
    const T* at = rows[k] + offset;
    for (int64_t s = 0; s < taps; ++s, at += step)
      for (int v = 0; v < V; ++v) {
        const Vec<A> value = load(at + v * lanes<A>);
        joined[v] = Rule::join(joined[v], value);
        if (Rule::kWatch) watched[v] += value;
      }
  }
  if (!Rule::kWatch) return false;
  Mask<A> nan{};
  for (int v = 0; v < V; ++v) nan |= watched[v] != watched[v];
  return any(nan);
}
// Calls body(channel, number of vectors) for all channels, four vectors at a time; the last vector
// overlaps where channels are no multiple.
template <class A, class F>
CNNKERN_INLINE void for_channels(int64_t channels, const F& body) {
  constexpr int64_t kLanes = lanes<A>;
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) body(c, std::integral_constant<int, 4>());
  for (; c < channels; c += kLanes)
    body(smaller(c, channels - kLanes), std::integral_constant<int, 1>());
}
template <class A>
CNNKERN_INLINE bool channels_fill_vectors(const PoolShape& g) {
  return g.block >= lanes<A>;
}
// Whether to join rows first where positions hold vectors of channels.
template <class A>
CNNKERN_INLINE bool rows_first(const PoolShape& g) {
  const PoolAxis& w = g.axis[2];
  const int64_t rows = most_rows(g);
  const bool fits = w.input * g.block * int64_t(sizeof(A)) <= 512 * 1024;
  // Parts of an axis overlap too little.
  return fits && !w.uneven && rows * w.kernel > (rows + 1) * smaller(w.stride, w.kernel) + w.kernel;
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

// Rows of y from rows of x. Sums are divided by columns (an element of a row each) * row_divisor.
template <class Rule, class T, class RowDivisor>
CNNKERN_INLINE void pool_lines(const PoolShape& g, const T* x, T* y, PoolScratch& scratch,
                               int64_t begin, int64_t end, const Compute<T>* columns,
                               const RowDivisor& row_divisor) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  constexpr A kRest = Rule::template kIdentity<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  if (whole_planes(g)) {
    const int64_t plane = d.input * h.input * w.input;
    for (; begin < end; ++begin) {
      const A v = join_run<Rule>(x + begin * plane, plane);
      store_one(y + begin, std::is_same_v<Rule, Sum> ? v / (columns[0] * row_divisor(0, 0)) : v);
    }
    return;
  }
  const Line<A> shape(w, g.block, scratch);
  const int64_t row = w.input * g.block, n = w.output * g.block;
  A* const line = take<A>(scratch, shape.size);
  fill(line, shape.size, kRest);
  A* const raw = take<A>(scratch, row + Line<A>::kSlack);
  fill(raw, row + Line<A>::kSlack, kRest);
  A* const joined = row_place(g, raw, line);
  A* const buffer = take<A>(scratch, n + kLanes);
  const T** const rows = take<const T*>(scratch, most_rows(g));
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t count = window_rows(g, x + at.image * d.input * h.input * row, at.depth,
                                      at.height, rows, static_cast<int64_t*>(nullptr));
    const A divisor = row_divisor(at.depth, at.height);
    const bool nan = join_rows<Rule>(rows, count, row, h.stride * row, joined);
    if (nan) join_rows<typename Rule::Careful>(rows, count, row, 0, joined);
    lay_row(g, shape, kRest, raw, line);
    T* const out = y + begin * n;
    A* const result = result_place(out, (end - begin) * n, n + kLanes, buffer);
    if (w.uneven)
      (nan ? join_uneven_columns<typename Rule::Careful, A>
           : join_uneven_columns<Rule, A>)(w, g.block, line, columns, divisor, result);
    else if (nan)
      join_columns<typename Rule::Careful>(shape, w.kernel, line, n, columns, divisor, result);
    else
      join_columns<Rule>(shape, w.kernel, line, n, columns, divisor, result);
    store_row(out, result, n);
  }
}

// The same where positions hold at least a vector of channels; `columns` has one divisor each.
template <class Rule, class T, class RowDivisor>
CNNKERN_INLINE void pool_channels(const PoolShape& g, const T* x, T* y, PoolScratch& scratch,
                                  int64_t begin, int64_t end, const Compute<T>* columns,
                                  const RowDivisor& row_divisor) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input * g.block;
  const T** const rows = take<const T*>(scratch, most_rows(g));
  Window* const windows = take<Window>(scratch, w.output);
  for (int64_t q = 0; q < w.output; ++q) windows[q] = inside(w, q);
  const bool separate = rows_first<A>(g);
  A* const raw = separate ? take<A>(scratch, row + 2 * lanes<A>) : nullptr;

  const auto join_row = [&](auto rule, const auto* const* from, int64_t count, T* out, A divisor) {
    using R = decltype(rule);
    const int64_t step = w.dilation * g.block;
    for (int64_t q = 0; q < w.output; ++q, out += g.block) {
      const Window s = windows[q];
      const int64_t offset = (begin_of(w, q) + s.first * w.dilation) * g.block;
      for_channels<A>(g.block, [&](int64_t c, auto number) __attribute__((always_inline)) {
        constexpr int kVectors = decltype(number)::value;
        Vec<A> v[kVectors];
        if (join_channels<R, kVectors>(from, count, offset + c, step, s.count, v))
          join_channels<typename Rule::Careful, kVectors>(from, count, offset + c, step, s.count,
                                                          v);
        for (int k = 0; k < kVectors; ++k) {
          if (std::is_same_v<Rule, Sum>) v[k] = v[k] / splat(columns[q] * divisor);
          store(out + c + k * lanes<A>, v[k]);
        }
      });
    }
  };
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t count = window_rows(g, x + at.image * d.input * h.input * row, at.depth,
                                      at.height, rows, static_cast<int64_t*>(nullptr));
    const A divisor = row_divisor(at.depth, at.height);
    T* const out = y + begin * w.output * g.block;
    if (!separate) {
      join_row(Rule(), rows, count, out, divisor);
      continue;
    }
    const A* const joined = raw;
    if (!join_rows<Rule>(rows, count, row, h.stride * row, raw)) {
      join_row(typename Rule::Checked(), &joined, 1, out, divisor);
    } else {
      join_rows<typename Rule::Careful>(rows, count, row, 0, raw);
      join_row(typename Rule::Careful(), &joined, 1, out, divisor);
    }
  }
}
