// SPDX-License-Identifier: BSD-3-Clause
// dx[i] = the sum of dy over the windows whose argmax is i, in ascending order of windows: for each
// row of dx the argmax of each window that covers it is compared with the tap that would meet it.

// The rows of dy whose windows cover the input row (depth, height), and the number of the first tap
// in each.
struct CoveringRows {
  Steps depth_step, height_step;
  int64_t* rows;  // depth * heights + height in dy
  int64_t* taps;

  CoveringRows(const PoolShape& g, PoolScratch& scratch)
      : depth_step(g.axis[0]), height_step(g.axis[1]) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1];
    const int64_t most = most_covering(d) * most_covering(h);
    rows = take<int64_t>(scratch, most);
    taps = take<int64_t>(scratch, most);
  }
  CNNKERN_INLINE int64_t find(const PoolShape& g, int64_t depth, int64_t height) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const Cover z = covering(d, depth_step, depth + d.pad_before);
    const Cover y = covering(h, height_step, height + h.pad_before);
    int64_t count = 0;
    for (int64_t i = 0; i < z.count; ++i)
      for (int64_t j = 0; j < y.count; ++j, ++count) {
        rows[count] =
            (z.window + i * depth_step.windows) * h.output + y.window + j * height_step.windows;
        taps[count] =
            (tap_of(d, depth_step, z, i) * h.kernel + tap_of(h, height_step, y, j)) * w.kernel;
      }
    return count;
  }
};

// A row of dx. Each of `lines` holds the gradients of a row of windows and, `size` elements on, the
// taps they go to; `taps` has the number of the first tap that they meet this row with.
template <class A>
[[gnu::noinline]] void select_gradients(const PoolShape& g, const GradLine<A>& shape,
                                        const A* const* lines, const int64_t* taps, int64_t count,
                                        A* out) {
  const int64_t step = shape.step.windows * g.block;
  merge_row(g, shape.phase, out,
            [&](const GradPhase& phase, int64_t i) __attribute__((always_inline)) {
              Vec<A> total{};
              for (int64_t k = 0; k < count; ++k) {
                const A* line = lines[k] + i + (shape.margin - phase.offset) * g.block;
                Mask<A> tap = splat_index<A>(taps[k] + phase.tap);
                for (int64_t s = 0; s < phase.count; ++s, line += step) {
                  const Mask<A> chosen = load_as<Mask<A>>(line + shape.size) == tap;
                  total += (Vec<A>)((Mask<A>)load(line) & chosen);
                  tap -= LaneInt<A>(shape.step.taps);
                }
              }
              return total;
            });
}

template <class T, class I>
void max_grad_lines(const PoolShape& g, const T* dy, const I* argmax, T* dx, PoolScratch& scratch,
                    int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.output * g.block, n = w.input * g.block;
  const GradLine<A> shape(w, g.block, scratch);
  CoveringRows covers(g, scratch);
  const int64_t most = most_covering(d) * most_covering(h);
  const auto places = [](const PoolAxis& a) {
    return a.uneven ? most_covering(a) : (a.kernel - 1) * a.dilation / a.stride + 1;
  };
  LineCache<A> cache(places(d), places(h), most, 2 * shape.size, A(0), scratch);
  A* const buffer = take<A>(scratch, n + 2 * kLanes);
  const A** const lines = take<const A*>(scratch, most);
  const int64_t margin = shape.margin * g.block;

  for (RowIndex at(begin, d.input, h.input); begin < end; ++begin, at.next()) {
    const int64_t count = covers.find(g, at.depth, at.height);
    const int64_t plane = at.image * d.output * h.output;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t in_plane = covers.rows[k], from = plane + in_plane;
      const int64_t place = cache.place(in_plane / h.output, in_plane % h.output, k);
      A* const line = cache.lines + place * cache.size;
      lines[k] = line;
      if (cache.held[place] == from) continue;
      auto* const taps = reinterpret_cast<LaneInt<A>*>(line + shape.size);
      if (cache.held[place] < 0) fill(taps, shape.size, LaneInt<A>(-1));
      const I* const indices = argmax + from * row;
      for (int64_t i = 0; i < row; i += kLanes) {
        store(line + margin + i, load_first(dy + from * row + i, row - i));
        Mask<A> which{};
        if (row - i >= kLanes)
          which = load_index<A>(indices + i);
        else
          for (int64_t e = 0; e < row - i; ++e) which[e] = indices[i + e];
        std::memcpy(taps + margin + i, &which, sizeof which);
      }
      cache.held[place] = from;
    }
    T* const out = dx + begin * n;
    A* const result = result_place(out, (end - begin) * n, n + 2 * kLanes, buffer);
    select_gradients(g, shape, lines, covers.taps, count, result);
    store_row(out, result, n);
  }
}

// The same where windows have different widths: each goes to the one element that it chose, if that
// lies in this row.
template <class T, class I>
void max_grad_uneven(const PoolShape& g, const T* dy, const I* argmax, T* dx, PoolScratch& scratch,
                     int64_t begin, int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.output * g.block, n = w.input * g.block;
  CoveringRows covers(g, scratch);
  A* const sums = take<A>(scratch, n + lanes<A>);
  for (RowIndex at(begin, d.input, h.input); begin < end; ++begin, at.next()) {
    const int64_t count = covers.find(g, at.depth, at.height);
    const int64_t plane = at.image * d.output * h.output;
    fill(sums, n, A(0));
    for (int64_t k = 0; k < count; ++k)
      for (int64_t q = 0, i = (plane + covers.rows[k]) * row; q < w.output; ++q) {
        const int64_t first = begin_of(w, q), taps = smaller(w.kernel, w.input - first);
        for (int64_t c = 0; c < g.block; ++c, ++i) {
          const int64_t tap = int64_t(argmax[i]) - covers.taps[k];
          if (tap >= 0 && tap < taps) sums[(first + tap) * g.block + c] += load_one(dy + i);
        }
      }
    store_row(dx + begin * n, sums, n);
  }
}

template <class T, class I>
void max_grad_channels(const PoolShape& g, const T* dy, const I* argmax, T* dx,
                       PoolScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.output * g.block;
  CoveringRows covers(g, scratch);
  const Steps step(w);
  Cover* const columns = take<Cover>(scratch, w.input);
  for (int64_t x = 0; x < w.input; ++x) columns[x] = covering(w, step, x + w.pad_before);

  for (RowIndex at(begin, d.input, h.input); begin < end; ++begin, at.next()) {
    const int64_t count = covers.find(g, at.depth, at.height);
    const int64_t plane = at.image * d.output * h.output;
    for (int64_t x = 0; x < w.input; ++x) {
      const Cover q = columns[x];
      T* const out = dx + (begin * w.input + x) * g.block;
      for_channels<A>(g.block, [&](int64_t c, auto number) __attribute__((always_inline)) {
        constexpr int kVectors = decltype(number)::value;
        Vec<A> total[kVectors] = {};
        for (int64_t k = 0; k < count; ++k) {
          int64_t from = (plane + covers.rows[k]) * row + q.window * g.block + c;
          for (int64_t s = 0; s < q.count; ++s) {
            const Mask<A> wanted = splat_index<A>(covers.taps[k] + tap_of(w, step, q, s));
            for (int v = 0; v < kVectors; ++v) {
              const Mask<A> which = load_index<A>(argmax + from + v * lanes<A>);
              const Vec<A> value = load(dy + from + v * lanes<A>);
              total[v] += (Vec<A>)((Mask<A>)value & (which == wanted));
            }
            from += step.windows * g.block;
          }
        }
        for (int v = 0; v < kVectors; ++v) store(out + c + v * lanes<A>, total[v]);
      });
    }
  }
}

// Where windows do not overlap, comparing takes one step an element of dx.
CNNKERN_INLINE bool windows_overlap(const PoolShape& g) {
  for (const PoolAxis& a : g.axis)
    if (a.uneven || (a.kernel - 1) * a.dilation >= a.stride) return true;
  return false;
}

template <class T, class I>
void max_pool_grad(const PoolShape& g, const void* dy, const void* argmax, void* dx,
                   PoolScratch& scratch, int64_t begin, int64_t end) {
  const T* const from = static_cast<const T*>(dy);
  const I* const which = static_cast<const I*>(argmax);
  T* const to = static_cast<T*>(dx);
  const Band band(g, sizeof(Compute<T>));
  const bool vectors = channels_fill_vectors<Compute<T>>(g);
  if (band.size != 0 && (windows_overlap(g) || !vectors))
    max_grad_scatter<T, I>(g, band, from, which, to, scratch, begin, end);
  else if (vectors)
    max_grad_channels<T, I>(g, from, which, to, scratch, begin, end);
  else if (g.axis[2].uneven)
    max_grad_uneven<T, I>(g, from, which, to, scratch, begin, end);
  else
    max_grad_lines<T, I>(g, from, which, to, scratch, begin, end);
}
