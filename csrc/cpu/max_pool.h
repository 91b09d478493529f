// SPDX-License-Identifier: BSD-3-Clause
// y = the largest tap of each window; NaN wins (the last one), ties go to the first tap in
// row-major order. With an argmax every tap is compared by itself: a window's rows are laid out as
// lines, which the next windows find again, or taken as they are where channels fill vectors.

template <class T>
void max_pool(const PoolShape& g, const void* x, void* y, PoolScratch& scratch, int64_t begin,
              int64_t end) {
  const T* const from = static_cast<const T*>(x);
  T* const to = static_cast<T*>(y);
  const auto no_row = [](const RowIndex&) {};
  if (channels_fill_vectors<Compute<T>>(g))
    pool_channels<Max>(g, from, to, scratch, begin, end, no_row, [](int64_t) { return Plain(); });
  else
    pool_lines<Max>(g, from, to, scratch, begin, end, no_row,
                    [](auto v, int64_t) __attribute__((always_inline)) { return v; });
}

// Lines of input rows, kept while windows need them. Each is in one place, by its depth and height,
// unless the reach of a window is so large that keeping rows costs more than laying them out again.
template <class A>
struct LineCache {
  static constexpr int64_t kMostBytes = 512 * 1024;
  int64_t depths, heights;  // of the places; 0 where nothing is kept
  int64_t size;
  A* lines;
  int64_t* held;  // which row, or -1
  bool* nan;

  LineCache(int64_t depths_, int64_t heights_, int64_t least, int64_t size_, A rest,
            PoolScratch& scratch)
      : depths(depths_), heights(heights_), size(size_) {
    int64_t places = depths * heights;
    if (places > kMostBytes / int64_t(sizeof(A)) / size) {
      depths = heights = 0;
      places = least;
    }
    lines = take<A>(scratch, places * size);
    held = take<int64_t>(scratch, places);
    nan = take<bool>(scratch, places);
    fill(lines, places * size, rest);
    fill(held, places, int64_t(-1));
  }
  // The place of a row; `number` counts the rows of this window.
  CNNKERN_INLINE int64_t place(int64_t depth, int64_t height, int64_t number) const {
    if (depths == 0) return number;
    return (depths == 1 ? 0 : depth % depths * heights) + (heights == 1 ? 0 : height % heights);
  }
};

// Compares all taps of the windows of a row, whose lines are given; `out` has room for a vector
// more.
template <class Rule, class A, class I>
[[gnu::noinline]] void compare_lines(const Line<A>& shape, int64_t kernel, const A* const* lines,
                                     const int64_t* taps, int64_t count, int64_t n, const I* firsts,
                                     A* out, I* argmax) {
  const int64_t first = count ? taps[0] : 0;
  for (int64_t i = 0; i < n; i += lanes<A>) {
    Vec<A> best = splat(MaxNan::kIdentity<A>);
    Mask<A> which = load_index<A>(firsts + i) + splat_index<A>(first);
    for (int64_t k = 0; k < count; ++k) {
      Mask<A> tap = splat_index<A>(taps[k]);
      const A* const line = lines[k] + i;
      for (int64_t s = 0; s < kernel; ++s, tap += 1)
        take_larger<Rule, A>(best, which, load(line + shape.at[s]), tap);
    }
    store(out + i, best);
    store_index_first<A>(argmax + i, which, n - i);
  }
}

template <class T, class I>
void argmax_lines(const PoolShape& g, const T* x, T* y, I* argmax, PoolScratch& scratch,
                  int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  constexpr A kRest = MaxNan::kIdentity<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const Line<A> shape(w, g.block, scratch);
  const int64_t row = w.input * g.block, n = w.output * g.block;
  LineCache<A> cache((d.kernel - 1) * d.dilation + 1, (h.kernel - 1) * h.dilation + 1, most_rows(g),
                     shape.size, kRest, scratch);
  A* const raw = take<A>(scratch, row + Line<A>::kSlack);
  fill(raw, row + Line<A>::kSlack, kRest);
  A* const buffer = take<A>(scratch, n + kLanes);
  int64_t* const taps = take<int64_t>(scratch, most_rows(g));
  const A** const lines = take<const A*>(scratch, most_rows(g));
  // The first tap inside the input in each column, for windows of nothing but -infinity.
  I* const firsts = take<I>(scratch, n + kLanes);
  bool empty_columns = false;
  for (int64_t q = 0; q < w.output; ++q) {
    const Window s = inside(w, q);
    empty_columns |= s.count == 0;
    fill(firsts + q * g.block, g.block, I(s.first));
  }
  fill(firsts + n, kLanes, I(0));

  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t plane = at.image * d.input * h.input;
    const Window t = inside(d, at.depth), r = inside(h, at.height);
    const int64_t z0 = begin_of(d, at.depth), y0 = begin_of(h, at.height);
    int64_t count = 0;
    bool nan = false;
    for (int64_t i = t.first; i < t.first + t.count; ++i)
      for (int64_t j = r.first; j < r.first + r.count; ++j, ++count) {
        const int64_t depth = z0 + i * d.dilation, height = y0 + j * h.dilation;
        const int64_t from = plane + depth * h.input + height;
        const int64_t place = cache.place(depth, height, count);
        A* const line = cache.lines + place * shape.size;
        if (cache.held[place] != from) {
          const T* const rows[1] = {x + from * row};
          cache.nan[place] =
              join_some_rows<Max, 1>(rows, 1, row, h.stride * row, row_place(g, raw, line));
          lay_row(g, shape, kRest, raw, line);
          cache.held[place] = from;
        }
        nan |= cache.nan[place];
        lines[count] = line;
        taps[count] = (i * h.kernel + j) * w.kernel;
      }
    T* const values = y + begin * n;
    A* const result = result_place(values, (end - begin) * n, n + kLanes, buffer);
    I* const out = argmax + begin * n;
    (nan ? compare_lines<MaxNan, A, I> : compare_lines<Max, A, I>)(shape, w.kernel, lines, taps,
                                                                   count, n, firsts, result, out);
    store_row(values, result, n);
    if (count == 0) fill(out, n, I(0));
    if (!empty_columns) continue;
    for (int64_t q = 0; q < w.output; ++q)
      if (inside(w, q).count == 0) fill(out + q * g.block, g.block, I(0));
  }
}

// Rows first, where windows have different widths: the largest element of each column of a row of
// windows and the first tap of the row it is in; then the columns of each window.
template <class T, class I>
void argmax_uneven(const PoolShape& g, const T* x, T* y, I* argmax, PoolScratch& scratch,
                   int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input * g.block;
  const T** const rows = take<const T*>(scratch, most_rows(g));
  int64_t* const taps = take<int64_t>(scratch, most_rows(g));
  A* const best = take<A>(scratch, row + kLanes);
  Mask<A>* const which = take<Mask<A>>(scratch, row / kLanes + 1);
  const auto* const tap_at = reinterpret_cast<const LaneInt<A>*>(which);
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t count =
        window_rows(g, x + at.image * d.input * h.input * row, at.depth, at.height, rows, taps);
    for (int64_t i = 0; i < row; i += kLanes) {
      Vec<A> value = splat(MaxNan::kIdentity<A>);
      Mask<A> tap = splat_index<A>(taps[0]);
      for (int64_t k = 0; k < count; ++k)
        take_larger<MaxNan, A>(value, tap, load_first(rows[k] + i, row - i),
                               splat_index<A>(taps[k]));
      store(best + i, value);
      which[i / kLanes] = tap;
    }
    for (int64_t q = 0; q < w.output; ++q) {
      const int64_t first = begin_of(w, q) * g.block, steps = inside(w, q).count;
      const int64_t out = (begin * w.output + q) * g.block;
      for (int64_t c = 0; c < g.block; ++c) {
        A value = best[first + c];
        LaneInt<A> tap = tap_at[first + c];
        for (int64_t s = 1; s < steps; ++s) {
          const int64_t i = first + s * g.block + c;
          const A other = best[i];
          const LaneInt<A> number = LaneInt<A>(tap_at[i] + s);
          // The last NaN, else the first of the largest.
          const bool wins = other != other ? value == value || number > tap
                                           : other > value || (other == value && number < tap);
          value = wins ? other : value;
          tap = wins ? number : tap;
        }
        store_one(y + out + c, value);
        argmax[out + c] = I(tap);
      }
    }
  }
}

template <class T, class I>
void argmax_channels(const PoolShape& g, const T* x, T* y, I* argmax, PoolScratch& scratch,
                     int64_t begin, int64_t end) {
  using A = Compute<T>;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input * g.block;
  const T** const rows = take<const T*>(scratch, most_rows(g));
  int64_t* const taps = take<int64_t>(scratch, most_rows(g));
  for (RowIndex at(begin, d.output, h.output); begin < end; ++begin, at.next()) {
    const int64_t count =
        window_rows(g, x + at.image * d.input * h.input * row, at.depth, at.height, rows, taps);
    for (int64_t q = 0; q < w.output; ++q) {
      const Window s = inside(w, q);
      const int64_t offset = (begin_of(w, q) + s.first * w.dilation) * g.block;
      const int64_t result = (begin * w.output + q) * g.block;
      const int64_t first = count && s.count ? taps[0] + s.first : 0;
      for_channels<A>(g.block, [&](int64_t c, auto number) __attribute__((always_inline)) {
        constexpr int kVectors = decltype(number)::value;
        Vec<A> best[kVectors];
        Mask<A> which[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          best[v] = splat(MaxNan::kIdentity<A>);
          which[v] = splat_index<A>(first);
        }
        for (int64_t k = 0; k < count; ++k) {
          const T* from = rows[k] + offset + c;
          Mask<A> tap = splat_index<A>(taps[k] + s.first);
          for (int64_t i = 0; i < s.count; ++i, from += w.dilation * g.block, tap += 1)
            for (int v = 0; v < kVectors; ++v)
              take_larger<MaxNan, A>(best[v], which[v], load(from + v * lanes<A>), tap);
        }
        for (int v = 0; v < kVectors; ++v) {
          store(y + result + c + v * lanes<A>, best[v]);
          store_index<A>(argmax + result + c + v * lanes<A>, which[v]);
        }
      });
    }
  }
}

template <class T, class I>
void max_pool_argmax(const PoolShape& g, const void* x, void* y, void* argmax, PoolScratch& scratch,
                     int64_t begin, int64_t end) {
  const auto run = whole_planes(g)                        ? argmax_planes<T, I>
                   : windows_are_direct(g)                ? argmax_direct<T, I>
                   : channels_fill_vectors<Compute<T>>(g) ? argmax_channels<T, I>
                   : g.axis[2].uneven                     ? argmax_uneven<T, I>
                                                          : argmax_lines<T, I>;
  run(g, static_cast<const T*>(x), static_cast<T*>(y), static_cast<I*>(argmax), scratch, begin,
      end);
}
