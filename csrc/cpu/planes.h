// SPDX-License-Identifier: BSD-3-Clause
// A row laid out as a line: padding written in, columns sorted by phase (column modulo stride), so
// that tap s of all windows of a row is one unit-stride run, whatever stride, dilation, block and
// storage type. And back: the phases of a gradient merged into a row.

template <class A, int... I>
CNNKERN_INLINE void split_pairs(Vec<A> a, Vec<A> b, Vec<A>& even, Vec<A>& odd,
                                std::integer_sequence<int, I...>) {
  even = __builtin_shufflevector(a, b, (2 * I)...);
  odd = __builtin_shufflevector(a, b, (2 * I + 1)...);
}
// Elements 0, 2, 4, ... and 1, 3, 5, ... of a followed by b.
template <class A>
CNNKERN_INLINE void split_pairs(Vec<A> a, Vec<A> b, Vec<A>& even, Vec<A>& odd) {
  split_pairs<A>(a, b, even, odd, std::make_integer_sequence<int, lanes<A>>());
}
template <class A, int... I>
CNNKERN_INLINE void merge_pairs(Vec<A> even, Vec<A> odd, Vec<A>& a, Vec<A>& b,
                                std::integer_sequence<int, I...>) {
  constexpr int kLanes = lanes<A>;
  a = __builtin_shufflevector(even, odd, (I / 2 + I % 2 * kLanes)...);
  b = __builtin_shufflevector(even, odd, (I / 2 + I % 2 * kLanes + kLanes / 2)...);
}
template <class A>
CNNKERN_INLINE void merge_pairs(Vec<A> even, Vec<A> odd, Vec<A>& a, Vec<A>& b) {
  merge_pairs<A>(even, odd, a, b, std::make_integer_sequence<int, lanes<A>>());
}

// Only phases that some tap reads are kept: the phase of tap s is s modulo `phases`.
template <class A>
struct Line {
  int64_t pitch;     // elements from phase to phase
  int64_t size;      // elements of a line
  int64_t columns;   // kept of each phase
  int64_t phases;
  int64_t* at;       // where tap s of the first window is
  int64_t place[2];  // stride 2: where the phase of even and of odd columns is

  Line(const PoolAxis& w, int64_t block, PoolScratch& scratch) {
    constexpr int64_t kLanes = lanes<A>;
    const Steps step(w);
    const bool pairs = w.stride == 2 && block == 1;
    columns = w.output + (w.kernel - 1) * w.dilation / w.stride;
    phases = smaller(step.taps, w.kernel);
    // Whole vectors are stored, also of columns that no window reaches.
    const int64_t reach = (w.pad_before + w.input) / w.stride + 1;
    pitch = round_up(larger(columns, reach) * block + 2 * kLanes, kLanes);
    size = pitch * (pairs ? 2 : phases);
    at = take<int64_t>(scratch, w.kernel);
    for (int64_t s = 0; s < w.kernel; ++s)
      at[s] = s % phases * pitch + s * w.dilation / w.stride * block;
    place[0] = 0;
    place[1] = pitch;
  }
};

// Where to put a row of the input before lay_row: into the line itself where no phases are split.
template <class A>
CNNKERN_INLINE A* row_place(const PoolShape& g, A* raw, A* line) {
  return g.axis[2].stride == 1 ? line + g.axis[2].pad_before * g.block : raw;
}
// Lays out a row that is in its place. What surrounds rows, in `raw` two vectors, is `rest`.
template <class A>
[[gnu::noinline]] void lay_row(const PoolShape& g, const Line<A>& shape, A rest, const A* raw,
                               A* line) {
  constexpr int64_t kLanes = lanes<A>;
  const PoolAxis& w = g.axis[2];
  const int64_t block = g.block, n = w.input * block, pad = w.pad_before;
  if (w.stride == 1) return;
  if (w.stride == 2 && block == 1) {
    A* const first = line + shape.place[pad % 2] + pad / 2;
    A* const second = line + shape.place[(pad + 1) % 2] + (pad + 1) / 2;
    for (int64_t i = 0; i < n; i += 2 * kLanes) {
      Vec<A> even, odd;
      split_pairs<A>(load(raw + i), load(raw + i + kLanes), even, odd);
      store(first + i / 2, even);
      store(second + i / 2, odd);
    }
    return;
  }
  for (int64_t k = 0; k < shape.phases; ++k) {
    // Column j of this phase is x = j * stride + phase - pad.
    const int64_t phase = k * w.dilation % w.stride;
    const int64_t first = phase >= pad ? 0 : (pad - phase + w.stride - 1) / w.stride;
    const int64_t over = w.input + pad - phase;
    const int64_t end = over > 0 ? smaller((over + w.stride - 1) / w.stride, shape.columns) : 0;
    A* const out = line + k * shape.pitch;
    const A* const from = raw + (phase - pad) * block;
    if (block == 1) {
      for (int64_t j = first; j < end; ++j) out[j] = from[j * w.stride];
    } else if (first < end) {
      // A vector is longer than a block: the next store mends what this one overwrote.
      for (int64_t j = first; j < end; ++j)
        store(out + j * block, load(from + j * w.stride * block));
      store(out + end * block, splat(rest));
    }
  }
}

// Columns of a gradient row, which count from the first element of the padding, by phase. Column j
// of a phase is covered by windows j - offset, j - offset + windows, ...: `count` of them.
struct GradPhase {
  int64_t tap, offset, count;  // the largest tap first, so that windows ascend
};
template <class A>
struct GradLine {
  int64_t margin;  // zeros before window 0, in windows
  int64_t size;    // elements of a line of windows
  GradPhase* phase;
  Steps step;

  GradLine(const PoolAxis& w, int64_t block, PoolScratch& scratch) : step(w) {
    margin = (w.kernel - 1) * w.dilation / w.stride;
    const int64_t last = (w.input - 1 + w.pad_before) / w.stride;
    size = round_up((margin + larger(last + 1, w.output)) * block + 2 * lanes<A>, lanes<A>);
    phase = take<GradPhase>(scratch, w.stride);
    for (int64_t f = 0; f < w.stride; ++f) phase[f] = {0, 0, 0};
    for (int64_t s = 0; s < smaller(step.taps, w.kernel); ++s) {
      const int64_t count = (w.kernel - 1 - s) / step.taps + 1;
      const int64_t tap = s + (count - 1) * step.taps;
      phase[tap * w.dilation % w.stride] = {tap, tap * w.dilation / w.stride, count};
    }
  }
};

// Makes a row of a gradient. `sum(phase, i)` gives the vector at element i of a phase, whose columns
// count from the first element of the padding. `out` has room for two vectors more.
template <class A, class Sum>
CNNKERN_INLINE void merge_row(const PoolShape& g, const GradPhase* phases, A* out,
                              const Sum& sum) {
  constexpr int64_t kLanes = lanes<A>;
  const PoolAxis& w = g.axis[2];
  const int64_t block = g.block, n = w.input * block, pad = w.pad_before;
  if (w.stride == 1) {
    for (int64_t i = 0; i < n; i += kLanes) store(out + i, sum(phases[0], i + pad * block));
    return;
  }
  if (w.stride == 2 && block == 1) {
    const GradPhase &first = phases[pad % 2], &second = phases[(pad + 1) % 2];
    for (int64_t i = 0; i < n; i += 2 * kLanes) {
      Vec<A> a, b;
      merge_pairs<A>(sum(first, (i + pad) / 2), sum(second, (i + pad + 1) / 2), a, b);
      store(out + i, a);
      store(out + i + kLanes, b);
    }
    return;
  }
  for (int64_t f = 0; f < smaller(w.stride, w.input + pad); ++f) {
    const int64_t first = f >= pad ? 0 : (pad - f + w.stride - 1) / w.stride;
    const int64_t end = (w.input + pad - f + w.stride - 1) / w.stride;
    A* to = out + (first * w.stride + f - pad) * block;
    for (int64_t j = first, within = 0, i = first * block; j < end; i += kLanes) {
      A values[kLanes];
      store(values, sum(phases[f], i));
      for (int64_t e = 0; e < kLanes && j < end; ++e) {
        to[within] = values[e];
        if (++within < block) continue;
        within = 0;
        ++j;
        to += w.stride * block;
      }
    }
  }
}
