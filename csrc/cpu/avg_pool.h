// SPDX-License-Identifier: BSD-3-Clause
// y = the sum of each window / its divisor, a product of one count an axis; and the gradient,
// dx[i] = the sum of dy / divisor over the windows that cover i, in ascending order of windows.
// Both are separable: rows are joined first.

template <class A>
CNNKERN_INLINE A row_divisor(const PoolShape& g, int64_t depth, int64_t height) {
  if (g.divisor != 0) return A(g.divisor);
  return A(counted(g, g.axis[0], depth) * counted(g, g.axis[1], height));
}
// What to multiply row_divisor by, `each` times for each position of a row of y.
template <class A>
CNNKERN_INLINE const A* column_divisors(const PoolShape& g, int64_t each, PoolScratch& scratch) {
  const PoolAxis& w = g.axis[2];
  const int64_t n = w.output * each;
  A* const columns = take<A>(scratch, n + lanes<A>);
  for (int64_t q = 0; q < w.output; ++q) fill(columns + q * each, each, A(counted(g, w, q)));
  fill(columns + n, lanes<A>, A(1));
  return columns;
}

template <class T>
void avg_pool(const PoolShape& g, const void* x, void* y, PoolScratch& scratch, int64_t begin,
              int64_t end) {
  using A = Compute<T>;
  const bool channels = channels_fill_vectors<A>(g);
  const A* const columns = column_divisors<A>(g, channels ? 1 : g.block, scratch);
  const auto rows = [&](int64_t depth, int64_t height) { return row_divisor<A>(g, depth, height); };
  const auto run =
      channels ? pool_channels<Sum, T, decltype(rows)> : pool_lines<Sum, T, decltype(rows)>;
  run(g, static_cast<const T*>(x), static_cast<T*>(y), scratch, begin, end, columns, rows);
}

// Sums up dy / divisor over the windows that cover a row of dx, by columns of windows, in `line`.
template <class T>
CNNKERN_INLINE void join_gradients(const PoolShape& g, const T* dy, const CoveringRows& covers,
                                   int64_t count, const T** rows, Compute<T>* divisors,
                                   const Compute<T>* columns, Compute<T>* line) {
  using A = Compute<T>;
  const int64_t heights = g.axis[1].output, n = g.axis[2].output * g.block;
  bool same = true;
  for (int64_t k = 0; k < count; ++k) {
    rows[k] = dy + covers.rows[k] * n;
    divisors[k] = row_divisor<A>(g, covers.rows[k] / heights, covers.rows[k] % heights);
    same &= divisors[k] == divisors[0];
  }
  const Vec<A> divisor = splat(same && count ? divisors[0] : A(1));
  for (int64_t i = 0; i < n; i += lanes<A>) {
    Vec<A> total{};
    for (int64_t k = 0; k < count; ++k) {
      Vec<A> v = load_first(rows[k] + i, n - i);
      if (!same) v = v / splat(divisors[k]);
      total += v;
    }
    store_first(line + i, total / (load_first(columns + i, n - i) * divisor), n - i);
  }
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
[[gnu::noinline]] void spread_channels(const PoolShape& g, const Steps& step,
                                       const Compute<T>* windows, T* out) {
  using A = Compute<T>;
  const PoolAxis& w = g.axis[2];
  for (int64_t x = 0; x < w.input; ++x, out += g.block) {
    const Cover q = covering(w, step, x + w.pad_before);
    const A* const from = windows + q.window * g.block;
    for (int64_t i = 0; i < g.block; i += lanes<A>) {
      const int64_t c = smaller(i, g.block - lanes<A>);
      Vec<A> total{};
      for (int64_t s = 0; s < q.count; ++s) total += load(from + s * step.windows * g.block + c);
      store(out + c, total);
    }
  }
}

template <class T>
void avg_pool_grad(const PoolShape& g, const void* dy, void* dx, PoolScratch& scratch,
                   int64_t begin, int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.output * g.block, n = w.input * g.block;
  if (whole_planes(g)) {
    const int64_t rows = d.input * h.input;
    const A divisor = row_divisor<A>(g, 0, 0) * A(counted(g, w, 0));
    for (int64_t first = begin; begin < end; first = begin) {
      const int64_t image = begin / rows;
      begin = smaller((image + 1) * rows, end);
      const A v = load_one(static_cast<const T*>(dy) + image) / divisor;
      T* const out = static_cast<T*>(dx);
      for (int64_t i = first * n; i < begin * n; i += lanes<A>)
        store_first(out + i, splat(v), begin * n - i);
    }
    return;
  }
  const GradLine<A> shape(w, g.block, scratch);
  CoveringRows covers(g, scratch);
  const int64_t most = most_covering(d) * most_covering(h);
  const T** const rows = take<const T*>(scratch, most);
  A* const divisors = take<A>(scratch, most);
  const A* const columns = column_divisors<A>(g, g.block, scratch);
  A* const line = take<A>(scratch, shape.size);
  fill(line, shape.size, A(0));
  A* const windows = line + shape.margin * g.block;
  A* const buffer = take<A>(scratch, n + 2 * lanes<A>);
  Cover* const columns_at = take<Cover>(scratch, w.uneven ? w.input : 0);
  for (int64_t x = 0; w.uneven && x < w.input; ++x) columns_at[x] = covering(w, shape.step, x);

  for (RowIndex at(begin, d.input, h.input); begin < end; ++begin, at.next()) {
    const int64_t count = covers.find(g, at.depth, at.height);
    const T* const image = static_cast<const T*>(dy) + at.image * d.output * h.output * row;
    join_gradients(g, image, covers, count, rows, divisors, columns, windows);
    T* const out = static_cast<T*>(dx) + begin * n;
    if (channels_fill_vectors<A>(g)) {
      spread_channels(g, shape.step, windows, out);
    } else {
      A* const result = result_place(out, (end - begin) * n, n + 2 * lanes<A>, buffer);
      if (w.uneven)
        spread_uneven(g, columns_at, windows, result);
      else
        spread_gradients(g, shape, line, result);
      store_row(out, result, n);
    }
  }
}
