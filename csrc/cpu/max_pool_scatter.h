// SPDX-License-Identifier: BSD-3-Clause
// dx[argmax] += dy, one step a window. Sums are made in dx itself, or where it has another type in
// a scratch, a piece of an image at a time; a piece is cleared just ahead of the windows that reach
// it. What lies outside a piece is dropped, so that a window that reaches two pieces is walked for
// both: each element is the sum of its windows in ascending order, whatever the pieces and threads.

struct ScatterTables {
  static constexpr int64_t kNowhere = std::numeric_limits<int64_t>::min() / 4;
  int64_t taps;
  int64_t* offsets;  // where taps lie from the first of their window; every byte has a place
  int64_t* begins;   // where the windows of a row, or of a plane, begin; kNowhere if they are empty
  int64_t reach;     // from the row of a window's first tap to the end of that of its last
  bool planes;       // begins has all windows of a plane

  static constexpr int64_t kMostWindows = 1024;

  ScatterTables(const PoolShape& g, PoolScratch& scratch) {
    const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
    const auto at = [&](int64_t z, int64_t y, int64_t x) {
      return ((z * h.input + y) * w.input + x) * g.block;
    };
    taps = d.kernel * h.kernel * w.kernel;
    offsets = take<int64_t>(scratch, larger(taps, 256));
    fill(offsets, larger(taps, 256), kNowhere);
    for (int64_t t = 0, tap = 0; t < d.kernel; ++t)
      for (int64_t r = 0; r < h.kernel; ++r)
        for (int64_t s = 0; s < w.kernel; ++s, ++tap)
          offsets[tap] = at(t * d.dilation, r * h.dilation, s * w.dilation);
    reach = at((d.kernel - 1) * d.dilation, (h.kernel - 1) * h.dilation + 1, 0);
    planes = g.block == 1 && d.output * h.output * w.output <= kMostWindows;
    const int64_t depths = planes ? d.output : 1, heights = planes ? h.output : 1;
    begins = take<int64_t>(scratch, depths * heights * w.output);
    int64_t* next = begins;
    for (int64_t z = 0; z < depths; ++z)
      for (int64_t p = 0; p < heights; ++p) {
        const bool some = !planes || (inside(d, z).count != 0 && inside(h, p).count != 0);
        const int64_t from = planes ? at(begin_of(d, z), begin_of(h, p), 0) : 0;
        for (int64_t q = 0; q < w.output; ++q)
          *next++ = some && inside(w, q).count ? from + begin_of(w, q) * g.block : kNowhere;
      }
  }
  template <class I>
  CNNKERN_INLINE int64_t offset(I argmax) const {
    const uint32_t tap = uint32_t(argmax);
    return sizeof(I) == 1 || tap < uint64_t(taps) ? offsets[tap] : kNowhere;
  }
};

template <class A>
CNNKERN_INLINE void add_inside(A* sums, int64_t size, int64_t at, A value) {
  if (uint64_t(at) < uint64_t(size)) sums[at] += value;
}

// N planes of `size` elements side by side: sums of one and the same element wait for each other,
// those of different planes do not.
template <int N, class A, class I>
[[gnu::noinline]] void scatter_planes(const ScatterTables& tables, const A* dy, const I* argmax,
                                      int64_t windows, A* sums, int64_t size) {
  const ScatterTables own = tables;
  const auto add = [&](int64_t i, auto count) __attribute__((always_inline)) {
    constexpr int kCount = decltype(count)::value;
    int64_t at[kCount][N];
    for (int j = 0; j < kCount; ++j)
      for (int k = 0; k < N; ++k)
        at[j][k] = own.begins[i + j] + own.offset(argmax[k * windows + i + j]);
    for (int j = 0; j < kCount; ++j)
      for (int k = 0; k < N; ++k)
        add_inside(sums + k * size, size, at[j][k], dy[k * windows + i + j]);
  };
  constexpr int kStep = 4 / N;
  int64_t i = 0;
  for (; i + kStep <= windows; i += kStep) add(i, std::integral_constant<int, kStep>());
  for (; i < windows; ++i) add(i, std::integral_constant<int, 1>());
}

// A row of windows, whose rows of taps begin at sums + from.
template <class A, class I>
[[gnu::noinline]] void scatter_row(const ScatterTables& tables, const int64_t* begins, const A* dy,
                                   const I* argmax, int64_t positions, int64_t block, int64_t from,
                                   A* sums, int64_t size) {
  const ScatterTables own = tables;
  const auto add = [&](int64_t i, auto count, const auto& begin) __attribute__((always_inline)) {
    constexpr int kCount = decltype(count)::value;
    int64_t at[kCount];
    for (int j = 0; j < kCount; ++j) at[j] = begin(j) + own.offset(argmax[i + j]);
    for (int j = 0; j < kCount; ++j) add_inside(sums, size, at[j], dy[i + j]);
  };
  constexpr std::integral_constant<int, 4> kFour{};
  constexpr std::integral_constant<int, 1> kOne{};
  if (block == 1) {
    int64_t q = 0;
    for (; q + 4 <= positions; q += 4) add(q, kFour, [&](int j) { return from + begins[q + j]; });
    for (; q < positions; ++q) add(q, kOne, [&](int) { return from + begins[q]; });
    return;
  }
  for (int64_t q = 0; q < positions; ++q, dy += block, argmax += block) {
    const int64_t first = from + begins[q];
    int64_t c = 0;
    for (; c + 4 <= block; c += 4) add(c, kFour, [&](int j) { return first + c + j; });
    for (; c < block; ++c) add(c, kOne, [&](int) { return first + c; });
  }
}

template <class T>
CNNKERN_INLINE const Compute<T>* computed_row(const T* row, int64_t n, Compute<T>* buffer) {
  if constexpr (std::is_same_v<T, Compute<T>>) {
    return row;
  } else {
    for (int64_t i = 0; i < n; i += lanes<Compute<T>>)
      store(buffer + i, load_first(row + i, n - i));
    return buffer;
  }
}

// The windows, from first to before end, that reach positions [low, high) of an axis.
struct Reaching {
  int64_t first, end;
  Reaching(const PoolAxis& a, int64_t low, int64_t high) {
    if (a.uneven) {
      const Steps step(a);
      const Cover last = covering(a, step, high - 1);
      first = covering(a, step, low).window;
      end = last.window + last.count;
      return;
    }
    const int64_t above = low + a.pad_before - (a.kernel - 1) * a.dilation;
    first = above > 0 ? (above + a.stride - 1) / a.stride : 0;
    end = smaller((high - 1 + a.pad_before) / a.stride + 1, a.output);
  }
};

template <class T, class I>
void max_grad_scatter(const PoolShape& g, const T* dy, const I* argmax, T* dx, PoolScratch& scratch,
                      int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr bool kInPlace = std::is_same_v<T, A>;
  constexpr int64_t kMost = 256 * 1024 / sizeof(A), kPlanes = 2;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t row = w.input * g.block, rows = d.input * h.input, plane = rows * row;
  const int64_t windows = w.output * g.block, all = d.output * h.output * windows;
  const ScatterTables tables(g, scratch);
  const bool together = tables.planes && (kInPlace || kPlanes * plane <= kMost);
  // Rows of a piece.
  const int64_t most = kInPlace ? rows : smaller(larger(kMost / row, 1), rows);
  A* const sums_scratch =
      kInPlace ? nullptr : take<A>(scratch, (together ? kPlanes * plane : most * row) + lanes<A>);
  A* const buffer =
      kInPlace ? nullptr : take<A>(scratch, (together ? kPlanes * all : windows) + lanes<A>);
  const auto sums_at = [&](int64_t to) {
    if constexpr (kInPlace)
      return dx + to;
    else
      return sums_scratch;
  };

  while (begin < end) {
    const int64_t image = begin / rows, r0 = begin % rows;
    if (together && r0 == 0 && end - begin >= rows) {
      int64_t count = (end - begin) / rows, n = 0;
      for (int64_t i = image; count > 0; count -= n, i += n, begin += n * rows) {
        n = count >= kPlanes ? kPlanes : 1;
        A* const sums = sums_at(i * plane);
        fill(sums, n * plane, A(0));
        const A* const from = computed_row(dy + i * all, n * all, buffer);
        (n == 1 ? scatter_planes<1, A, I>
                : scatter_planes<kPlanes, A, I>)(tables, from, argmax + i * all, all, sums, plane);
        if constexpr (!kInPlace) store_row(dx + i * plane, sums, n * plane);
      }
      continue;
    }
    const int64_t r1 = smaller(smaller(end - image * rows, rows), r0 + most);
    const int64_t first = r0 * row, size = (r1 - r0) * row;
    A* const sums = sums_at(begin * row);
    const int64_t z0 = r0 / h.input, z1 = (r1 - 1) / h.input + 1;
    const bool one_depth = z1 - z0 == 1;
    const Reaching depths(d, z0, z1);
    const Reaching heights(h, one_depth ? r0 - z0 * h.input : 0,
                           one_depth ? r1 - z0 * h.input : h.input);
    int64_t cleared = 0;
    for (int64_t z = depths.first; z < depths.end; ++z)
      for (int64_t p = heights.first; p < heights.end; ++p) {
        if (inside(d, z).count == 0 || inside(h, p).count == 0) continue;
        const int64_t base = (begin_of(d, z) * h.input + begin_of(h, p)) * row - first;
        const int64_t needed = smaller(base + tables.reach, size), number = z * h.output + p;
        if (needed > cleared) {
          fill(sums + cleared, needed - cleared, A(0));
          cleared = needed;
        }
        const int64_t from = (image * d.output * h.output + number) * windows;
        const int64_t* const begins = tables.begins + (tables.planes ? number * w.output : 0);
        scatter_row(tables, begins, computed_row(dy + from, windows, buffer), argmax + from,
                    w.output, g.block, tables.planes ? -first : base, sums, size);
      }
    fill(sums + cleared, size - cleared, A(0));
    if constexpr (!kInPlace) store_row(dx + begin * row, sums, size);
    begin += r1 - r0;
  }
}
