// SPDX-License-Identifier: BSD-3-Clause
// Pooling where positions hold less than a vector of channels.

// The taps of a vector of windows that begin kStride elements apart, joined in registers; `at(i)`
// is the vector of elements i, i + 1, ... after the beginning of the first.
template <class Rule, int kStride, class A, class At>
CNNKERN_INLINE Vec<A> join_taps(int64_t taps, const At& at) {
  constexpr int64_t kLanes = lanes<A>;
  Vec<A> joined = splat(Rule::template kIdentity<A>);
  for (int64_t s = 0; s < taps; s += kStride) {
    Vec<A> v[4];
    if constexpr (kStride == 1) {
      v[0] = at(s);
    } else if constexpr (kStride == 2) {
      split_pairs<A>(at(s), at(s + kLanes), v[0], v[1]);
    } else {
      constexpr auto kAll = std::make_integer_sequence<int, lanes<A>>();
      const Vec<A> a = at(s), b = at(s + kLanes), c = at(s + 2 * kLanes);
      v[0] = every_third<A, 0>(a, b, c, kAll);
      v[1] = every_third<A, 1>(a, b, c, kAll);
      v[2] = every_third<A, 2>(a, b, c, kAll);
    }
    joined = s == 0 ? v[0] : Rule::join(joined, v[0]);
    for (int f = 1; f < kStride; ++f)
      if (s + f < taps) joined = Rule::join(joined, v[f]);
  }
  return joined;
}
// The same of kTaps windows as wide as their stride, a power of two: pairs, then pairs of those.
template <class Rule, int kTaps, class A, class At>
CNNKERN_INLINE Vec<A> join_tiles(int64_t from, const At& at) {
  if constexpr (kTaps == 1) {
    return at(from);
  } else {
    Vec<A> even, odd;
    split_pairs<A>(join_tiles<Rule, kTaps / 2, A>(from, at),
                   join_tiles<Rule, kTaps / 2, A>(from + kTaps / 2 * lanes<A>, at), even, odd);
    return Rule::join(even, odd);
  }
}

// How windows lie in a row of single elements.
template <int kStride_, bool kTiles_>
struct Slide {
  static constexpr int kStride = kStride_;
  static constexpr bool kTiles = kTiles_;
};

// A row of n results: the windows of the rows' join. May read up to `reach` elements of a row and
// write up to `room` of `out`. True if NaN may have been dropped.
template <class Rule, class Way, class From, class T, class Finish>
[[gnu::noinline]] bool join_windows(const From* const* rows, int64_t count, int64_t taps, int64_t n,
                                    int64_t room, const Finish& finish, T* out) {
  using A = Compute<T>;
  Mask<A> nan{};
  for (int64_t i = 0; i < n; i += lanes<A>) {
    const auto at = [&](int64_t s) __attribute__((always_inline)) {
      s += i * Way::kStride;
      Vec<A> joined = load(rows[0] + s), watched = joined;
      for (int64_t k = 1; k < count; ++k) {
        const Vec<A> v = load(rows[k] + s);
        joined = Rule::join(joined, v);
        if (Rule::kWatch) watched += v;
      }
      if (Rule::kWatch) nan |= watched != watched;
      return joined;
    };
    Vec<A> joined;
    if constexpr (Way::kTiles)
      joined = join_tiles<Rule, Way::kStride, A>(0, at);
    else
      joined = join_taps<Rule, Way::kStride, A>(taps, at);
    store_first(out + i, finish(joined, i), room - i >= lanes<A> ? lanes<A> : n - i);
  }
  return Rule::kWatch && any(nan);
}

// Planes of single elements, windows that slide: rows are read as they lie where all windows are
// inside and none shares columns with the next, else joined first, into a line with padding.
template <class Rule, class Way, class T, class SetRow, class Finish>
void pool_planes(const PoolShape& g, const T* x, T* y, PoolScratch& scratch, int64_t begin,
                 int64_t end, const SetRow& set_row, const Finish& finish) {
  using A = Compute<T>;
  using Careful = typename Rule::Careful;
  constexpr int64_t kLanes = lanes<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input, n = w.output, taps = w.kernel;
  // What join_windows reads from where a row's first window begins.
  const int64_t reach =
      round_up(n, kLanes) * Way::kStride + round_up(taps, Way::kStride) - Way::kStride;
  const bool direct = w.pad_before == 0 && (n - 1) * w.stride + taps <= row &&
                      (most_rows(g) == 1 || taps <= w.stride);
  const T* const x_end = x + g.images * d.input * h.input * row;
  WindowRows<T> rows(g, scratch);
  T* const last = direct ? take<T>(scratch, most_rows(g) * reach) : nullptr;
  if (direct) std::memset(last, 0, size_t(most_rows(g) * reach) * sizeof(T));
  const int64_t size = larger(w.pad_before + row + kLanes, reach);
  A* const line = take<A>(scratch, size);
  fill(line, size, Rule::template kIdentity<A>);

  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    rows.find(at, x);
    set_row(at);
    T* const out = y + begin * n;
    const int64_t room = (end - begin) * n, count = rows.count;
    if (direct && count > 0) {
      const T** const from = rows.rows;
      if (from[count - 1] + reach > x_end)
        for (int64_t k = 0; k < count; ++k) {
          std::memcpy(last + k * reach, from[k], size_t(smaller(row, reach)) * sizeof(T));
          from[k] = last + k * reach;
        }
      if (join_windows<Rule, Way>(from, count, taps, n, room, finish, out))
        join_windows<Careful, Way>(from, count, taps, n, room, finish, out);
      continue;
    }
    const A* const joined = line;
    if (join_rows<Rule>(rows.rows, count, row, h.stride * row, line + w.pad_before)) {
      join_rows<Careful>(rows.rows, count, row, 0, line + w.pad_before);
      join_windows<Careful, Way>(&joined, 1, taps, n, room, finish, out);
    } else {
      join_windows<typename Rule::Checked, Way>(&joined, 1, taps, n, room, finish, out);
    }
  }
}

// Rows of y from rows of x. What is joined becomes finish(joined, element of the row).
template <class Rule, class T, class SetRow, class Finish>
CNNKERN_INLINE void pool_lines(const PoolShape& g, const T* x, T* y, PoolScratch& scratch,
                               int64_t begin, int64_t end, const SetRow& set_row,
                               const Finish& finish) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  constexpr A kRest = Rule::template kIdentity<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  if (whole_planes(g)) {
    const int64_t plane = d.input * h.input * w.input;
    set_row(RowIndex(0, 1, 1));
    for (; begin < end; ++begin)
      store_one(y + begin, finish(splat(join_run<Rule>(x + begin * plane, plane)), 0)[0]);
    return;
  }
  if (g.block == 1 && !w.uneven && w.dilation == 1) {
    const auto run = [&](auto way) {
      pool_planes<Rule, decltype(way)>(g, x, y, scratch, begin, end, set_row, finish);
    };
    const bool tiles = w.kernel == w.stride;
    if (w.stride == 1) return run(Slide<1, false>());
    if (w.stride == 2) return tiles ? run(Slide<2, true>()) : run(Slide<2, false>());
    if (w.stride == 3) return run(Slide<3, false>());
    if (w.stride == 4 && tiles) return run(Slide<4, true>());
    if (w.stride == 8 && tiles) return run(Slide<8, true>());
  }
  const Line<A> shape(w, g.block, scratch);
  const int64_t row = w.input * g.block, n = w.output * g.block;
  A* const line = take<A>(scratch, shape.size);
  fill(line, shape.size, kRest);
  A* const raw = take<A>(scratch, row + Line<A>::kSlack);
  fill(raw, row + Line<A>::kSlack, kRest);
  A* const joined = row_place(g, raw, line);
  A* const buffer = take<A>(scratch, n + kLanes);
  Window* const windows = take<Window>(scratch, w.uneven ? w.output : 0);
  for (int64_t q = 0; w.uneven && q < w.output; ++q)
    windows[q] = {begin_of(w, q), inside(w, q).count};
  WindowRows<T> rows(g, scratch);
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    rows.find(at, x);
    set_row(at);
    const bool nan = join_rows<Rule>(rows.rows, rows.count, row, h.stride * row, joined);
    if (nan) join_rows<typename Rule::Careful>(rows.rows, rows.count, row, 0, joined);
    lay_row(g, shape, kRest, raw, line);
    T* const out = y + begin * n;
    A* const result = result_place(out, (end - begin) * n, n + kLanes, buffer);
    const auto columns = [&](auto rule) {
      using R = decltype(rule);
      if (w.uneven)
        join_uneven_columns<R, A>(windows, w.output, g.block, line, finish, result);
      else
        join_columns<R, A>(shape, w.kernel, line, n, finish, result);
    };
    if (nan)
      columns(typename Rule::Careful());
    else
      columns(Rule());
    store_row(out, result, n);
  }
}
