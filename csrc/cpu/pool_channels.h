// SPDX-License-Identifier: BSD-3-Clause
// Pooling where positions hold at least a vector of channels. Windows that overlap share rows that
// are joined first, position by position, in a ring that stays in the L1 cache. Large windows that
// do not are summed up a few positions at a time, as they lie in memory; the taps of others are
// joined in registers.

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

// out = finish(the element-wise join of some positions (N of them where N is not 0)). True if NaN
// may have been dropped. The last vector overlaps, so `out` is none of them.
template <class Rule, int N, class From, class To, class Finish>
CNNKERN_INLINE bool join_some_positions(const From* const* at, int64_t count, int64_t channels,
                                        To* out, const Finish& finish) {
  using A = Compute<From>;
  constexpr int64_t kLanes = lanes<A>;
  const From* own[N ? N : 1];
  for (int k = 0; k < N; ++k) own[k] = at[k];
  Mask<A> nan{};
  const auto join = [&](int64_t i) __attribute__((always_inline)) {
    Vec<A> joined = load((N ? own[0] : at[0]) + i), watched = joined;
    for (int64_t k = 1; k < (N ? N : count); ++k) {
      const Vec<A> v = load((N ? own[k] : at[k]) + i);
      joined = Rule::join(joined, v);
      if (Rule::kWatch) watched += v;
    }
    if (Rule::kWatch) nan |= watched != watched;
    store(out + i, finish(joined));
  };
  int64_t i = 0;
  for (; i + kLanes <= channels; i += kLanes) join(i);
  if (i < channels) join(channels - kLanes);
  return Rule::kWatch && any(nan);
}
template <class Rule, class From, class To, class Finish>
[[gnu::noinline]] bool join_positions(const From* const* at, int64_t count, int64_t channels,
                                      To* out, const Finish& finish) {
  using A = Compute<From>;
  if (count == 0) {
    const Vec<A> rest = finish(splat(Rule::template kIdentity<A>));
    for (int64_t i = 0; i < channels; i += lanes<A>) store_first(out + i, rest, channels - i);
    return false;
  }
  if (count == 1) return join_some_positions<Rule, 1>(at, count, channels, out, finish);
  if (count == 2) return join_some_positions<Rule, 2>(at, count, channels, out, finish);
  if (count == 3) return join_some_positions<Rule, 3>(at, count, channels, out, finish);
  return join_some_positions<Rule, 0>(at, count, channels, out, finish);
}
struct Plain {
  template <class V>
  CNNKERN_INLINE V operator()(V v) const {
    return v;
  }
};

// joined = join(joined, N positions that lie `step` apart); room for a vector beyond the channels.
template <class Rule, int N, class T>
[[gnu::noinline]] bool join_more(const T* at, int64_t step, int64_t channels, Compute<T>* joined) {
  using A = Compute<T>;
  Mask<A> nan{};
  for (int64_t i = 0; i < channels; i += lanes<A>) {
    Vec<A> so_far = load(joined + i), watched{};
    for (int64_t k = 0; k < N; ++k) {
      const Vec<A> v = load_first(at + k * step + i, channels - i);
      so_far = Rule::join(so_far, v);
      if (Rule::kWatch) watched += v;
    }
    if (Rule::kWatch) nan |= watched != watched;
    store(joined + i, so_far);
  }
  return Rule::kWatch && any(nan);
}
// The same of `count` positions of each row. Rows are joined by themselves first: a sum's rounding
// grows with its length. `row` has room as `joined` has.
template <class Rule, class T>
CNNKERN_INLINE bool join_streams(const T* const* rows, int64_t rows_count, int64_t offset,
                                 int64_t step, int64_t count, int64_t channels, Compute<T>* row,
                                 Compute<T>* joined) {
  using A = Compute<T>;
  fill(joined, channels, Rule::template kIdentity<A>);
  bool nan = false;
  for (int64_t k = 0; k < rows_count; ++k) {
    const T* at = rows[k] + offset;
    int64_t s = count;
    fill(row, channels, Rule::template kIdentity<A>);
    for (; s >= 4; s -= 4, at += 4 * step) nan |= join_more<Rule, 4>(at, step, channels, row);
    if (s & 2) nan |= join_more<Rule, 2>(at, step, channels, row), at += 2 * step;
    if (s & 1) nan |= join_more<Rule, 1>(at, step, channels, row);
    nan |= join_more<Rule, 1>(row, 0, channels, joined);
  }
  return nan;
}

// Joined positions of a row: position i has the place i modulo `places`. Short rows are kept whole,
// and joined `together`.
template <class A>
struct Ring {
  int64_t channels, places, together;
  A* data;
  const A** found;

  // `reach` positions, of a row of `all`, are used beside each other.
  Ring(int64_t reach, int64_t all, int64_t channels_, PoolScratch& scratch) : channels(channels_) {
    const bool whole = all * channels * int64_t(sizeof(A)) <= 8 * 1024;
    places = whole ? all : reach;
    together = whole ? all : 1;
    data = take<A>(scratch, places * channels + 2 * lanes<A>);
    found = take<const A*>(scratch, reach);
  }
  CNNKERN_INLINE A* place(int64_t i) const {
    return data + int64_t(uint32_t(i) % uint32_t(places)) * channels;
  }
  // The places of positions i, i + step, ...: `count` of them.
  CNNKERN_INLINE const A* const* find(int64_t i, int64_t step, int64_t count) const {
    i = int64_t(uint32_t(i) % uint32_t(places));
    for (int64_t k = 0; k < count; ++k) {
      found[k] = data + i * channels;
      i += step;
      if (i >= places) i -= places;
    }
    return found;
  }
};

// `finish(q)` gives what makes results of window q of a row from what was joined.
template <class Rule, class T, class SetRow, class Finish>
CNNKERN_INLINE void pool_channels(const PoolShape& g, const T* x, T* y, PoolScratch& scratch,
                                  int64_t begin, int64_t end, const SetRow& set_row,
                                  const Finish& finish) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t step = w.dilation * g.block;
  WindowRows<T> rows(g, scratch);
  const T** const at = take<const T*>(scratch, most_rows(g));
  Window* const windows = take<Window>(scratch, w.output);
  for (int64_t q = 0; q < w.output; ++q) windows[q] = inside(w, q);
  const int64_t taps = most_rows(g) * w.kernel;
  // Parts of an axis overlap too little.
  const bool share = w.output > 1 && !w.uneven &&
                     taps > (most_rows(g) + 1) * smaller(w.stride, w.kernel) + w.kernel;
  const bool stream = !share && taps > (Rule::kWatch ? 64 : 9);
  const Ring<A> ring(share ? (w.kernel - 1) * w.dilation + 1 : 2, share ? w.input : 2, g.block,
                     scratch);

  for (RowIndex of(begin, d.output, h.output); begin < end; ++begin, of.next()) {
    rows.find(of, x);
    set_row(of);
    T* out = y + begin * w.output * g.block;
    bool nan = false;
    for (int64_t q = 0, next = 0; q < w.output; ++q, out += g.block) {
      const Window s = windows[q];
      const int64_t first = begin_of(w, q) + s.first * w.dilation, offset = first * g.block;
      const auto done = finish(q);
      if (share) {
        for (; s.count > 0 && next <= first + (s.count - 1) * w.dilation; next += ring.together) {
          A* const place = ring.place(next);
          for (int64_t k = 0; k < rows.count; ++k) at[k] = rows.rows[k] + next * g.block;
          if (join_positions<Rule>(at, rows.count, ring.together * g.block, place, Plain())) {
            join_positions<typename Rule::Careful>(at, rows.count, ring.together * g.block, place,
                                                   Plain());
            nan = true;
          }
        }
        const A* const* const joined = ring.find(first, w.dilation, s.count);
        if (nan)
          join_positions<typename Rule::Careful>(joined, s.count, g.block, out, done);
        else
          join_positions<typename Rule::Checked>(joined, s.count, g.block, out, done);
      } else if (stream) {
        A *const sums = ring.data, *const row = sums + round_up(g.block, lanes<A>);
        if (join_streams<Rule>(rows.rows, rows.count, offset, step, s.count, g.block, row, sums))
          join_streams<typename Rule::Careful>(rows.rows, rows.count, offset, step, s.count,
                                               g.block, row, sums);
        for (int64_t i = 0; i < g.block; i += lanes<A>)
          store_first(out + i, done(load(sums + i)), g.block - i);
      } else {
        for_channels<A>(g.block, [&](int64_t c, auto number) __attribute__((always_inline)) {
          constexpr int kVectors = decltype(number)::value;
          Vec<A> v[kVectors];
          if (join_channels<Rule, kVectors>(rows.rows, rows.count, offset + c, step, s.count, v))
            join_channels<typename Rule::Careful, kVectors>(rows.rows, rows.count, offset + c, step,
                                                            s.count, v);
          for (int k = 0; k < kVectors; ++k) store(out + c + k * lanes<A>, done(v[k]));
        });
      }
    }
  }
}
