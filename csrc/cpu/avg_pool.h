// SPDX-License-Identifier: BSD-3-Clause
// y = the sum of each window / its divisor, a product of one count an axis; and the gradient,
// dx[i] = the sum of dy / divisor over the windows that cover i, in ascending order of windows.
// Both are separable: rows are joined first.

// What an axis contributes to the divisors, `each` times for each window, and a vector of ones.
template <class A>
CNNKERN_INLINE const A* counts_of(const PoolShape& g, const PoolAxis& a, int64_t each,
                                  PoolScratch& scratch) {
  const int64_t n = a.output * each;
  A* const counts = take<A>(scratch, n + lanes<A>);
  for (int64_t q = 0; q < a.output; ++q) fill(counts + q * each, each, A(counted(g, a, q)));
  fill(counts + n, lanes<A>, A(1));
  return counts;
}

// v / divisor as a division would round it, given 1 / divisor rounded: the remainder of a first
// quotient, which an FMA keeps whole, corrects it (P. Markstein). That of an infinity is NaN.
template <class V>
CNNKERN_INLINE V quotient(V v, V divisor, V reciprocal) {
#if defined(CNNKERN_AVX2) || defined(CNNKERN_AVX512)
  const V first = v * reciprocal, second = first + (v - first * divisor) * reciprocal;
  return second == second ? second : first;
#else
  return v / divisor;
#endif
}

// What a row of sums is divided by: the row's part times each column's.
template <class A>
struct Divisors {
  const A* columns;
  int64_t size;
  A row;
  A *products, *reciprocals;

  Divisors(const PoolShape& g, int64_t each, PoolScratch& scratch)
      : columns(counts_of<A>(g, g.axis[2], each, scratch)),
        size(round_up(g.axis[2].output * each, lanes<A>)),
        row(0),
        // Windows of different sizes take a vector at each of their columns, the last one, too.
        products(take<A>(scratch, size + lanes<A>)),
        reciprocals(take<A>(scratch, size + lanes<A>)) {}
  CNNKERN_INLINE void set(A to) {
    if (to == row) return;
    row = to;
    for (int64_t i = 0; i < size; i += lanes<A>) {
      const Vec<A> product = load(columns + i) * splat(row);
      store(products + i, product);
      store(reciprocals + i, A(1) / product);
    }
  }
  CNNKERN_INLINE Vec<A> over(Vec<A> v, int64_t i) const {
    return quotient(v, load(products + i), load(reciprocals + i));
  }
  // The same of one column.
  CNNKERN_INLINE auto over_column(int64_t q) const {
    const Vec<A> product = splat(products[q]), reciprocal = splat(reciprocals[q]);
    return [product, reciprocal](Vec<A> v)
               __attribute__((always_inline)) { return quotient(v, product, reciprocal); };
  }
};

template <class T>
void avg_pool(const PoolShape& g, const void* x, void* y, PoolScratch& scratch, int64_t begin,
              int64_t end) {
  using A = Compute<T>;
  const T* const from = static_cast<const T*>(x);
  T* const to = static_cast<T*>(y);
  const bool channels = channels_fill_vectors<A>(g);
  const A* const depths = counts_of<A>(g, g.axis[0], 1, scratch);
  const A* const heights = counts_of<A>(g, g.axis[1], 1, scratch);
  Divisors<A> divisors(g, channels ? 1 : g.block, scratch);
  const auto set_row = [&](const RowIndex& at) {
    divisors.set(g.divisor ? A(g.divisor) : depths[at.depth] * heights[at.height]);
  };
  if (channels)
    pool_channels<Sum>(g, from, to, scratch, begin, end, set_row,
                       [&](int64_t q) { return divisors.over_column(q); });
  else
    pool_lines<Sum>(g, from, to, scratch, begin, end, set_row,
                    [&](Vec<A> v, int64_t i)
                        __attribute__((always_inline)) { return divisors.over(v, i); });
}

// The windows that cover each position of an axis.
CNNKERN_INLINE const Cover* covers_of(const PoolAxis& a, const Steps& step, PoolScratch& scratch) {
  Cover* const covers = take<Cover>(scratch, a.input);
  for (int64_t i = 0; i < a.input; ++i) covers[i] = covering(a, step, i + a.pad_before);
  return covers;
}

// The rows of dx, each with the rows of dy whose windows cover it and what those are divided by.
template <class T>
struct GradRows {
  using A = Compute<T>;
  const PoolShape& g;
  Steps depth_step, height_step;
  const Cover *depths, *heights;
  const A *depth_counts, *height_counts;
  int64_t row;  // elements of a row of dy
  int64_t count = 0;
  const T** rows;
  A* divisors;
  bool same = true;  // all divisors are the first

  GradRows(const PoolShape& g_, PoolScratch& scratch)
      : g(g_), depth_step(g.axis[0]), height_step(g.axis[1]) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1];
    depths = covers_of(d, depth_step, scratch);
    heights = covers_of(h, height_step, scratch);
    depth_counts = counts_of<A>(g, d, 1, scratch);
    height_counts = counts_of<A>(g, h, 1, scratch);
    row = g.axis[2].output * g.block;
    const int64_t most = most_covering(d) * most_covering(h);
    rows = take<const T*>(scratch, most);
    divisors = take<A>(scratch, most);
  }
  // How many rows ago dx had the same windows; 0 where none of this image had.
  CNNKERN_INLINE int64_t same_as(const RowIndex& at) const {
    const auto equal = [](const Cover& a, const Cover& b) {
      return a.window == b.window && a.count == b.count;
    };
    const Cover *z = depths + at.depth, *y = heights + at.height;
    if (at.height > 0 && equal(y[-1], y[0])) return 1;
    return at.depth > 0 && equal(z[-1], z[0]) ? at.heights : 0;
  }
  CNNKERN_INLINE void find(const RowIndex& at, const T* dy) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1];
    const Cover z = depths[at.depth], y = heights[at.height];
    const T* const image = dy + at.image * d.output * h.output * row;
    count = 0;
    same = true;
    for (int64_t i = 0; i < z.count; ++i)
      for (int64_t j = 0; j < y.count; ++j, ++count) {
        const int64_t depth = z.window + i * depth_step.windows;
        const int64_t height = y.window + j * height_step.windows;
        rows[count] = image + (depth * h.output + height) * row;
        divisors[count] = g.divisor ? A(g.divisor) : depth_counts[depth] * height_counts[height];
        same &= divisors[count] == divisors[0];
      }
  }
  // A vector of each row, summed up: over the divisors where they differ.
  template <class Load>
  CNNKERN_INLINE Vec<A> sum(const Load& load_row) const {
    Vec<A> total{};
    if (same) {
      for (int64_t k = 0; k < count; ++k) total += load_row(rows[k]);
    } else {
      for (int64_t k = 0; k < count; ++k) total += load_row(rows[k]) / splat(divisors[k]);
    }
    return total;
  }
  CNNKERN_INLINE A divisor() const { return same && count ? divisors[0] : A(1); }
};

// Sums up dy / divisor over the windows that cover a row of dx, by columns of windows, in `line`.
template <class T>
[[gnu::noinline]] void join_gradients(const GradRows<T>& from, Divisors<Compute<T>>& divisors,
                                      Compute<T>* line) {
  using A = Compute<T>;
  divisors.set(from.divisor());
  const int64_t n = from.row;
  int64_t i = 0;
  for (; i + lanes<A> <= n; i += lanes<A>)
    store(line + i, divisors.over(from.sum([&](const T* row) { return load(row + i); }), i));
  if (i < n)
    store(line + i,
          divisors.over(from.sum([&](const T* row) { return load_first(row + i, n - i); }), i));
}

// A row of dx from the joined windows that cover it, `margin` of zeros before them.
template <class A>
[[gnu::noinline]] void spread_gradients(const PoolShape& g, const GradLine<A>& shape, const A* line,
                                        A* out) {
  merge_row(g, shape.phase, out,
            [&](const GradPhase& phase, int64_t i) __attribute__((always_inline)) {
              const A* from = line + i + (shape.margin - phase.offset) * g.block;
              Vec<A> total{};
              for (int64_t s = 0; s < phase.count; ++s, from += shape.step.windows * g.block)
                total += load(from);
              return total;
            });
}
template <class A>
[[gnu::noinline]] void spread_uneven(const PoolShape& g, const Cover* columns, const A* windows,
                                     A* out) {
  for (int64_t x = 0; x < g.axis[2].input; ++x, out += g.block) {
    const Cover q = columns[x];
    const A* const from = windows + q.window * g.block;
    // A vector is longer than a position: the next one mends what this one overwrites.
    Vec<A> total = load(from);
    for (int64_t s = 1; s < q.count; ++s) total += load(from + s * g.block);
    store(out, total);
  }
}

template <class T>
void avg_grad_lines(const PoolShape& g, const T* dy, T* dx, PoolScratch& scratch, int64_t begin,
                    int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t n = w.input * g.block, overrun = n + 2 * lanes<A>, first = begin;
  const GradLine<A> shape(w, g.block, scratch);
  GradRows<T> rows(g, scratch);
  Divisors<A> divisors(g, g.block, scratch);
  A* const line = take<A>(scratch, shape.size);
  fill(line, shape.size, A(0));
  A* const windows = line + shape.margin * g.block;
  A* const buffer = take<A>(scratch, overrun);
  const Cover* const columns = w.uneven ? covers_of(w, shape.step, scratch) : nullptr;

  for (RowIndex at(begin, d.input, h.input); begin < end; ++begin, at.next()) {
    T* const out = dx + begin * n;
    const int64_t ago = rows.same_as(at);
    if (ago > 0 && begin - ago >= first) {
      std::memcpy(out, out - ago * n, size_t(n) * sizeof(T));
      continue;
    }
    rows.find(at, dy);
    join_gradients(rows, divisors, windows);
    A* const result = result_place(out, (end - begin) * n, overrun, buffer);
    if (w.uneven)
      spread_uneven(g, columns, windows, result);
    else
      spread_gradients(g, shape, line, result);
    store_row(out, result, n);
  }
}

// The same where positions hold at least a vector of channels: columns of windows are joined when
// the first position needs them.
template <class T>
void avg_grad_channels(const PoolShape& g, const T* dy, T* dx, PoolScratch& scratch, int64_t begin,
                       int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t n = w.input * g.block, first = begin;
  const Steps step(w);
  const Cover* const columns = covers_of(w, step, scratch);
  GradRows<T> rows(g, scratch);
  const Ring<A> ring(w.uneven ? most_covering(w) : (w.kernel - 1) * w.dilation / w.stride + 1,
                     w.output, g.block, scratch);
  const bool together = ring.together == w.output;
  Divisors<A> divisors(g, together ? g.block : 1, scratch);
  const T** const at = take<const T*>(scratch, most_covering(d) * most_covering(h));

  for (RowIndex of(begin, d.input, h.input); begin < end; ++begin, of.next()) {
    T* out = dx + begin * n;
    const int64_t ago = rows.same_as(of);
    if (ago > 0 && begin - ago >= first) {
      std::memcpy(out, out - ago * n, size_t(n) * sizeof(T));
      continue;
    }
    rows.find(of, dy);
    int64_t next = 0;
    if (together) {
      join_gradients(rows, divisors, ring.data);
      next = w.output;
    }
    divisors.set(rows.divisor());
    for (int64_t x = 0; x < w.input; ++x, out += g.block) {
      const Cover q = columns[x];
      for (; q.count > 0 && next <= q.window + (q.count - 1) * step.windows; ++next) {
        A* const place = ring.place(next);
        const auto over = divisors.over_column(next);
        if (rows.same) {
          for (int64_t k = 0; k < rows.count; ++k) at[k] = rows.rows[k] + next * g.block;
          join_positions<Sum>(at, rows.count, g.block, place, over);
          continue;
        }
        for (int64_t i = 0; i < g.block; i += lanes<A>) {
          const int64_t c = smaller(i, g.block - lanes<A>);
          store(place + c,
                over(rows.sum([&](const T* row) { return load(row + next * g.block + c); })));
        }
      }
      const A* const* const joined = ring.find(q.window, step.windows, q.count);
      join_positions<Sum>(joined, q.count, g.block, out, Plain());
    }
  }
}

template <class T>
void avg_pool_grad(const PoolShape& g, const void* dy, void* dx, PoolScratch& scratch,
                   int64_t begin, int64_t end) {
  using A = Compute<T>;
  const T* const from = static_cast<const T*>(dy);
  T* const to = static_cast<T*>(dx);
  if (!whole_planes(g))
    return (channels_fill_vectors<A>(g) ? avg_grad_channels<T>
                                        : avg_grad_lines<T>)(g, from, to, scratch, begin, end);
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t rows = d.input * h.input, n = w.input;
  const A divisor =
      g.divisor ? A(g.divisor) : A(counted(g, d, 0) * counted(g, h, 0)) * A(counted(g, w, 0));
  for (int64_t first = begin; begin < end; first = begin) {
    const int64_t image = begin / rows;
    begin = smaller((image + 1) * rows, end);
    const A v = load_one(from + image) / divisor;
    for (int64_t i = first * n; i < begin * n; i += lanes<A>)
      store_first(to + i, splat(v), begin * n - i);
  }
}
