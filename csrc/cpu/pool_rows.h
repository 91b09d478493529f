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

// The element-wise join of some rows: N of them where N is not 0.
template <class Rule, int N, class T>
struct JoinedRows {
  using A = Compute<T>;
  const T* const* rows;
  int64_t count;
  int64_t ahead;  // elements to what the next row of results will read
  mutable Mask<A> seen_nan{};

  template <class Load>
  CNNKERN_INLINE Vec<A> join(const Load& load_row) const {
    if (N == 0 && count == 0) return splat(Rule::template kIdentity<A>);
    Vec<A> joined = load_row(rows[0]), watched = joined;
#pragma GCC unroll 4
    for (int64_t k = 1; k < (N ? N : count); ++k) {
      const Vec<A> v = load_row(rows[k]);
      joined = Rule::join(joined, v);
      if (Rule::kWatch) watched += v;
    }
    if (Rule::kWatch) seen_nan |= watched != watched;
    return joined;
  }
  CNNKERN_INLINE Vec<A> operator()(int64_t i) const {
    return join([&](const T* row) {
      __builtin_prefetch(row + i + ahead);
      return load(row + i);
    });
  }
  CNNKERN_INLINE Vec<A> operator()(int64_t i, int64_t n) const {
    return join([&](const T* row) { return load_first(row + i, n); });
  }
};

// Lays the joined rows out by `lay(source)`; true if NaN may have been dropped on the way.
template <class Rule, class T, class Lay>
CNNKERN_INLINE bool join_rows(const T* const* rows, int64_t count, int64_t ahead, const Lay& lay) {
  const auto run = [&](auto number) {
    const JoinedRows<Rule, decltype(number)::value, T> source{rows, count, ahead};
    lay(source);
    return Rule::kWatch && any(source.seen_nan);
  };
  if (count == 1) return run(std::integral_constant<int, 1>());
  if (count == 2) return run(std::integral_constant<int, 2>());
  if (count == 3) return run(std::integral_constant<int, 3>());
  return run(std::integral_constant<int, 0>());
}

// Vectors i, i + lanes, ... of n elements; the last overlaps where n is no multiple, and where n
// is less than one vector `body` is told how many elements to store.
template <class A, class F>
CNNKERN_INLINE void for_vectors(int64_t n, const F& body) {
  constexpr int64_t kLanes = lanes<A>;
  if (n < kLanes) return body(0, n);
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (n % kLanes) body(n - kLanes, kLanes);
}

// Joins the taps of all windows of a line and hands each vector to `finish`.
template <class Rule, class A, class Finish>
CNNKERN_INLINE void join_columns(const Line<A>& shape, int64_t taps, const A* line, int64_t n,
                                 const Finish& finish) {
  const auto run = [&](auto number) {
    constexpr int64_t kTaps = decltype(number)::value;
    for_vectors<A>(n, [&](int64_t i, int64_t some) {
      Vec<A> v = load(line + i + shape.at[0]);
#pragma GCC unroll 4
      for (int64_t s = 1; s < (kTaps ? kTaps : taps); ++s)
        v = Rule::join(v, load(line + i + shape.at[s]));
      finish(i, some, v);
    });
  };
  if (taps == 2) return run(std::integral_constant<int, 2>());
  if (taps == 3) return run(std::integral_constant<int, 3>());
  run(std::integral_constant<int, 0>());
}

// Positions with at least a vector of channels: joins the taps of one window, V vectors from
// channel c on. Rows are those of the window, `offset` leads to its first tap inside.
template <class Rule, int V, class T>
CNNKERN_INLINE bool join_channels(const T* const* rows, int64_t count, int64_t offset,
                                  int64_t step, int64_t taps, Vec<Compute<T>> (&joined)[V]) {
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
// Calls body(channel, number of vectors) for all channels, four vectors at a time.
template <class A, class F>
CNNKERN_INLINE void for_channels(int64_t channels, const F& body) {
  constexpr int64_t kLanes = lanes<A>;
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) body(c, std::integral_constant<int, 4>());
  for (; c + kLanes <= channels; c += kLanes) body(c, std::integral_constant<int, 1>());
  if (c < channels) body(channels - kLanes, std::integral_constant<int, 1>());
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
  return fits && rows * w.kernel > (rows + 1) * smaller(w.stride, w.kernel) + w.kernel;
}

// Rows of y from rows of x. `ends(depth, height)` gives what finishes the values of a row: a
// function of (element of the row, vector).
template <class Rule, class T, class Ends>
CNNKERN_INLINE void pool_lines(const PoolShape& g, const T* x, T* y, PoolScratch& scratch,
                               int64_t begin, int64_t end, const Ends& ends) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  constexpr A kRest = Rule::template kIdentity<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const Line<A> shape(w, g.block, scratch);
  const int64_t row = w.input * g.block, n = w.output * g.block;
  A* const line = take<A>(scratch, shape.size);
  fill(line, shape.size, kRest);
  A* const raw = take<A>(scratch, row + 2 * kLanes);
  fill(raw, row + 2 * kLanes, kRest);
  const T** const rows = take<const T*>(scratch, most_rows(g));
  const auto run = [&](auto rule, const RowIndex& at, int64_t count, T* out) {
    using R = decltype(rule);
    const bool nan = join_rows<R>(rows, count, h.stride * row, [&](const auto& source) {
      lay_row(g, shape, kRest, raw, line, source);
    });
    if (nan) return false;
    const auto finish = ends(at.depth, at.height);
    join_columns<R>(shape, w.kernel, line, n, [&](int64_t i, int64_t some, Vec<A> v) {
      store_first(out + i, finish(i, v), some);
    });
    return true;
  };
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t count = window_rows(g, x + at.image * d.input * h.input * row, at.depth,
                                      at.height, rows, static_cast<int64_t*>(nullptr));
    if (!run(Rule(), at, count, y + begin * n)) run(typename Rule::Careful(), at, count, y + begin * n);
  }
}

// The same where positions hold at least a vector of channels; what finishes values is told their
// position in the row.
template <class Rule, class T, class Ends>
CNNKERN_INLINE void pool_channels(const PoolShape& g, const T* x, T* y, PoolScratch& scratch,
                                  int64_t begin, int64_t end, const Ends& ends) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input * g.block;
  const T** const rows = take<const T*>(scratch, most_rows(g));
  Window* const windows = take<Window>(scratch, w.output);
  for (int64_t q = 0; q < w.output; ++q) windows[q] = inside(w, q);
  const bool separate = rows_first<A>(g);
  A* const raw = separate ? take<A>(scratch, row + 2 * lanes<A>) : nullptr;

  const auto join_row = [&](auto rule, const auto* const* from, int64_t count, T* out,
                            const auto& finish) {
    using R = decltype(rule);
    for (int64_t q = 0; q < w.output; ++q, out += g.block) {
      const Window s = windows[q];
      const int64_t offset = (q * w.stride - w.pad_before + s.first * w.dilation) * g.block;
      for_channels<A>(g.block, [&](int64_t c, auto number) {
        constexpr int kVectors = decltype(number)::value;
        Vec<A> v[kVectors];
        if (join_channels<R, kVectors>(from, count, offset + c, w.dilation * g.block, s.count, v))
          join_channels<typename Rule::Careful, kVectors>(from, count, offset + c,
                                                          w.dilation * g.block, s.count, v);
        for (int k = 0; k < kVectors; ++k)
          store(out + c + k * lanes<A>, finish(q, v[k]));
      });
    }
  };
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t count = window_rows(g, x + at.image * d.input * h.input * row, at.depth,
                                      at.height, rows, static_cast<int64_t*>(nullptr));
    const auto finish = ends(at.depth, at.height);
    T* const out = y + begin * w.output * g.block;
    if (!separate) {
      join_row(Rule(), rows, count, out, finish);
      continue;
    }
    const auto lay = [&](const auto& source) {
      lay_raw(row, Rule::template kIdentity<A>, raw, source);
    };
    const A* const joined = raw;
    if (!join_rows<Rule>(rows, count, h.stride * row, lay)) {
      join_row(typename Rule::Checked(), &joined, 1, out, finish);
    } else {
      join_rows<typename Rule::Careful>(rows, count, h.stride * row, lay);
      join_row(typename Rule::Careful(), &joined, 1, out, finish);
    }
  }
}
