// SPDX-License-Identifier: BSD-3-Clause
// dx[i] = the sum of dy over the windows whose argmax is i, in ascending order of windows: they are
// scattered (max_pool_scatter.h), merged where they are pairs (max_pool_pairs.h), or, here, the
// argmax of each window that covers a position is compared with the tap that would meet it.

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

// A run of elements of a row of dx, `columns` times. Each line holds the gradients of a row of
// windows and, `size` elements on, the taps they go to. An element of the run has M windows of each
// line, `step` elements apart, and their taps are `tap_step` apart.
struct GradRun {
  int64_t size, step, tap_step;
  int64_t tap, offset;  // of the first window of the first element: its tap in a row, its place
  int64_t length, columns, from_step, to_step;
};
// N lines, or `count` where N is 0; `taps` has the number of the first tap of each.
template <int M, int N, class A>
[[gnu::noinline]] void select_gradients(const GradRun& run, const A* const* lines,
                                        const int64_t* taps, int64_t count, A* out) {
  constexpr int64_t kLanes = lanes<A>;
  const int64_t size = run.size, step = run.step, length = run.length;
  const A* own[N ? N : 1];
  Mask<A> wanted[N ? N : 1][M];
  for (int k = 0; k < N; ++k)
    for (int m = 0; m < M; ++m) wanted[k][m] = splat_index<A>(taps[k] + run.tap - m * run.tap_step);
  for (int64_t column = 0; column < run.columns; ++column, out += run.to_step) {
    const int64_t offset = run.offset + column * run.from_step;
    for (int k = 0; k < N; ++k) own[k] = lines[k] + offset;
    const auto total = [&](int64_t i) __attribute__((always_inline)) {
      Vec<A> sum{};
      const auto add = [&](const A* line, Mask<A> tap) __attribute__((always_inline)) {
        const Mask<A> chosen = load_as<Mask<A>>(line + size) == tap;
        sum += (Vec<A>)((Mask<A>)load(line) & chosen);
      };
      for (int k = 0; k < N; ++k)
        for (int m = 0; m < M; ++m) add(own[k] + i + m * step, wanted[k][m]);
      for (int64_t k = 0; N == 0 && k < count; ++k)
        for (int m = 0; m < M; ++m)
          add(lines[k] + offset + i + m * step,
              splat_index<A>(taps[k] + run.tap - m * run.tap_step));
      return sum;
    };
    int64_t i = 0;
    for (; i + kLanes <= length; i += kLanes) store(out + i, total(i));
    if (i < length) store(out + length - kLanes, total(length - kLanes));
  }
}
template <int M, class A>
CNNKERN_INLINE auto select_lines(int64_t count) {
  return count == 1   ? select_gradients<M, 1, A>
         : count == 2 ? select_gradients<M, 2, A>
         : count == 3 ? select_gradients<M, 3, A>
                      : select_gradients<M, 0, A>;
}

// Where positions hold at least a vector of channels, and a column has three windows of a row at
// most.
template <class T, class I>
void max_grad_channels(const PoolShape& g, const T* dy, const I* argmax, T* dx,
                       PoolScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int64_t kLanes = lanes<A>, kTile = 512;
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t block = g.block, row = w.output * block, n = w.input * block;
  const GradLine<A> shape(w, block, scratch);
  CoveringRows covers(g, scratch);
  const int64_t most = most_covering(d) * most_covering(h);
  const auto places = [](const PoolAxis& a) { return (a.kernel - 1) * a.dilation / a.stride + 1; };
  LineCache<A> cache(places(d), places(h), most, 2 * shape.size, A(0), scratch);
  A* const buffer = std::is_same_v<T, A> ? nullptr : take<A>(scratch, n + kLanes);
  const A** const lines = take<const A*>(scratch, most);
  const int64_t margin = shape.margin * block;
  const int64_t tile = w.stride == 1 ? w.input : larger(kTile / block, 1);

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
      for (int64_t next = 0; next < row; next += kLanes) {
        const int64_t i = smaller(next, row - kLanes);
        store(line + margin + i, load(dy + from * row + i));
        const Mask<A> which = load_index<A>(argmax + from * row + i);
        std::memcpy(taps + margin + i, &which, sizeof which);
      }
      cache.held[place] = from;
    }
    T* const out = dx + begin * n;
    A* const result = result_place(out, n, n, buffer);
    // Tile by tile, so that what its phases read is still near.
    for (int64_t first = 0; first < w.input; first += tile * w.stride)
      for (int64_t x = first; x < smaller(first + w.stride, w.input); ++x) {
        const GradPhase phase = shape.phase[(x + w.pad_before) % w.stride];
        const int64_t q = (x + w.pad_before) / w.stride - phase.offset;
        const int64_t columns = smaller((w.input - x + w.stride - 1) / w.stride, tile);
        GradRun run{shape.size, block,   w.stride, phase.tap,       margin + q * block,
                    block,      columns, block,    w.stride * block};
        if (w.stride == 1) run.length = columns * block, run.columns = 1;
        A* const to = result + x * block;
        if (phase.count == 0 || count == 0)
          for (int64_t j = 0; j < run.columns; ++j) fill(to + j * run.to_step, run.length, A(0));
        else
          (phase.count == 1   ? select_lines<1, A>(count)
           : phase.count == 2 ? select_lines<2, A>(count)
                              : select_lines<3, A>(count))(run, lines, covers.taps, count, to);
      }
    store_row(out, result, n);
  }
}
// Comparing takes a step a tap, but for vectors: it is the faster way where windows have few taps.
CNNKERN_INLINE bool few_taps(const PoolShape& g) {
  int64_t taps = 1;
  for (const PoolAxis& a : g.axis) {
    if (a.uneven) return false;
    taps *= a.kernel;
  }
  const PoolAxis& w = g.axis[2];
  return taps <= 12 && w.dilation == 1 && w.kernel <= 3 * w.stride;
}

template <class T, class I>
void max_pool_grad(const PoolShape& g, const void* dy, const void* argmax, void* dx,
                   PoolScratch& scratch, int64_t begin, int64_t end) {
  using A = Compute<T>;
  const auto run = windows_of_pairs(g)                          ? max_grad_pairs<T, I>
                   : channels_fill_vectors<A>(g) && few_taps(g) ? max_grad_channels<T, I>
                                                                : max_grad_scatter<T, I>;
  run(g, static_cast<const T*>(dy), static_cast<const I*>(argmax), static_cast<T*>(dx), scratch,
      begin, end);
}
