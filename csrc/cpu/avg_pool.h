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
  if (channels_fill_vectors<A>(g)) {
    const A* const columns = column_divisors<A>(g, 1, scratch);
    const auto ends = [&](int64_t depth, int64_t height) {
      return [columns, rows = row_divisor<A>(g, depth, height)](int64_t q, Vec<A> v) {
        return v / splat(columns[q] * rows);
      };
    };
    pool_channels<Sum>(g, static_cast<const T*>(x), static_cast<T*>(y), scratch, begin, end, ends);
  } else {
    const A* const columns = column_divisors<A>(g, g.block, scratch);
    const auto ends = [&](int64_t depth, int64_t height) {
      return [columns, rows = splat(row_divisor<A>(g, depth, height))](int64_t i, Vec<A> v) {
        return v / (load(columns + i) * rows);
      };
    };
    pool_lines<Sum>(g, static_cast<const T*>(x), static_cast<T*>(y), scratch, begin, end, ends);
  }
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

template <class T>
void avg_pool_grad(const PoolShape& g, const void* dy, void* dx, PoolScratch& scratch,
                   int64_t begin, int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.output * g.block;
  const GradLine<A> shape(w, g.block, scratch);
  CoveringRows covers(g, scratch);
  const int64_t most = smaller(d.kernel, d.output) * smaller(h.kernel, h.output);
  const T** const rows = take<const T*>(scratch, most);
  A* const divisors = take<A>(scratch, most);
  const A* const columns = column_divisors<A>(g, g.block, scratch);
  A* const line = take<A>(scratch, shape.size);
  fill(line, shape.size, A(0));
  A* const windows = line + shape.margin * g.block;
  A* const raw = take<A>(scratch, w.input * g.block + 2 * lanes<A>);

  for (RowIndex at(begin, d.input, h.input); begin < end; ++begin, at.next()) {
    const int64_t count = covers.find(g, at.depth, at.height);
    const T* const image = static_cast<const T*>(dy) + at.image * d.output * h.output * row;
    join_gradients(g, image, covers, count, rows, divisors, columns, windows);
    T* const out = static_cast<T*>(dx) + begin * w.input * g.block;
    if (channels_fill_vectors<A>(g)) {
      for (int64_t x = 0; x < w.input; ++x) {
        const Cover q = covering(w, shape.step, x + w.pad_before);
        for_channels<A>(g.block, [&](int64_t c, auto number) {
          for (int v = 0; v < decltype(number)::value; ++v, c += lanes<A>) {
            Vec<A> total{};
            for (int64_t s = 0; s < q.count; ++s)
              total += load(windows + (q.window + s * shape.step.windows) * g.block + c);
            store(out + x * g.block + c, total);
          }
        });
      }
      continue;
    }
    merge_row(g, shape.phase, out, raw, [&](const GradPhase& phase, int64_t i) {
      Vec<A> total{};
      for (int64_t s = 0; s < phase.count; ++s)
        total += load(windows + i + (s * shape.step.windows - phase.offset) * g.block);
      return total;
    });
  }
}
