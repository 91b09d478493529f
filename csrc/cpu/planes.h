// SPDX-License-Identifier: BSD-3-Clause
// A row laid out as a line: padding written in, columns sorted by phase (column modulo stride), so
// that tap s of all windows of a row is one unit-stride run, whatever stride, dilation, block and
// storage type. And back: the phases of a gradient merged into a row.

// Elements f, f + 3, f + 6, ... of a, b and c in a row.
template <class A, int f, int... I>
CNNKERN_INLINE Vec<A> every_third(Vec<A> a, Vec<A> b, Vec<A> c, std::integer_sequence<int, I...>) {
  constexpr int kLanes = lanes<A>;
  const Vec<A> ab = __builtin_shufflevector(a, b, (f + 3 * I < 2 * kLanes ? f + 3 * I : 0)...);
  return __builtin_shufflevector(ab, c, (f + 3 * I < 2 * kLanes ? I : f + 3 * I - kLanes)...);
}
// The other way: elements of three vectors in turn, f of 3 vectors that hold them.
template <class A, int f, int... I>
CNNKERN_INLINE Vec<A> in_turn(Vec<A> a, Vec<A> b, Vec<A> c, std::integer_sequence<int, I...>) {
  constexpr int kLanes = lanes<A>, first = f * kLanes;
  const Vec<A> ab =
      __builtin_shufflevector(a, b, ((first + I) / 3 + ((first + I) % 3 == 1 ? kLanes : 0))...);
  return __builtin_shufflevector(ab, c, ((first + I) % 3 == 2 ? (first + I) / 3 + kLanes : I)...);
}
// Column j of phase f is raw[j * stride + f]: whole vectors of columns from 0 on, as many as cover
// n elements of raw.
template <class A, int kStride>
[[gnu::noinline]] void split_phases(const A* raw, int64_t n, A* const* phases) {
  constexpr int64_t kLanes = lanes<A>;
  constexpr auto kAll = std::make_integer_sequence<int, lanes<A>>();
  for (int64_t j = 0; j * kStride < n; j += kLanes, raw += kStride * kLanes) {
    const Vec<A> a = load(raw), b = load(raw + kLanes);
    Vec<A> out[4];
    if constexpr (kStride == 2) {
      split_pairs<A>(a, b, out[0], out[1]);
    } else if constexpr (kStride == 3) {
      const Vec<A> c = load(raw + 2 * kLanes);
      out[0] = every_third<A, 0>(a, b, c, kAll);
      out[1] = every_third<A, 1>(a, b, c, kAll);
      out[2] = every_third<A, 2>(a, b, c, kAll);
    } else {
      Vec<A> even[2], odd[2];
      split_pairs<A>(a, b, even[0], odd[0]);
      split_pairs<A>(load(raw + 2 * kLanes), load(raw + 3 * kLanes), even[1], odd[1]);
      split_pairs<A>(even[0], even[1], out[0], out[2]);
      split_pairs<A>(odd[0], odd[1], out[1], out[3]);
    }
    for (int f = 0; f < kStride; ++f) store(phases[f] + j, out[f]);
  }
}

// Only phases that some tap reads are kept: the phase of tap s is s modulo `phases`.
template <class A>
struct Line {
  static constexpr int64_t kSlack = 4 * lanes<A>;  // what vectors overrun, of lines and raw rows
  int64_t pitch;                                   // elements from phase to phase
  int64_t size;                                    // elements of a line
  int64_t columns;                                 // kept of each phase
  int64_t phases;
  bool vectors;  // phases are split by vectors, so that all are kept
  int64_t* at;   // where tap s of the first window is

  Line(const PoolAxis& w, int64_t block, PoolScratch& scratch) {
    const Steps step(w);
    columns = w.output + (w.kernel - 1) * w.dilation / w.stride;
    phases = smaller(step.taps, w.kernel);
    vectors = w.stride >= 2 && w.stride <= 4 && block == 1;
    // Whole vectors are stored, also of columns that no window reaches.
    const int64_t reach = (w.pad_before + w.input) / w.stride + 1;
    pitch = round_up(larger(columns, reach) * block + kSlack, lanes<A>);
    size = pitch * (vectors ? w.stride : phases);
    at = take<int64_t>(scratch, w.kernel);
    for (int64_t s = 0; s < w.kernel; ++s) {
      const int64_t phase = vectors ? s * w.dilation % w.stride : s % phases;
      at[s] = phase * pitch + s * w.dilation / w.stride * block;
    }
  }
};

// Where to put a row of the input before lay_row: into the line itself where no phases are split.
template <class A>
CNNKERN_INLINE A* row_place(const PoolShape& g, A* raw, A* line) {
  return g.axis[2].stride == 1 ? line + g.axis[2].pad_before * g.block : raw;
}
// Lays out a row that is in its place. What surrounds rows, in `raw` kSlack elements, is `rest`.
template <class A>
[[gnu::noinline]] void lay_row(const PoolShape& g, const Line<A>& shape, A rest, const A* raw,
                               A* line) {
  const PoolAxis& w = g.axis[2];
  const int64_t block = g.block, n = w.input * block, pad = w.pad_before;
  if (w.stride == 1) return;
  if (shape.vectors) {
    A* phase[4];
    for (int64_t f = 0; f < w.stride; ++f)
      phase[f] = line + (pad + f) % w.stride * shape.pitch + (pad + f) / w.stride;
    if (w.stride == 2) return split_phases<A, 2>(raw, n, phase);
    if (w.stride == 3) return split_phases<A, 3>(raw, n, phase);
    return split_phases<A, 4>(raw, n, phase);
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

// Makes a row of a gradient. `sum(phase, i)` gives the vector at element i of a phase, whose
// columns count from the first element of the padding. `out` has room for two vectors more.
template <class A, class Sum>
CNNKERN_INLINE void merge_row(const PoolShape& g, const GradPhase* phases, A* out, const Sum& sum) {
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
  if ((w.stride == 3 || w.stride == 4) && block == 1) {
    const auto at = [&](int64_t i) __attribute__((always_inline)) {
      return sum(phases[(i + pad) % w.stride], (i + pad) / w.stride);
    };
    for (int64_t i = 0; i < n; i += w.stride * kLanes) {
      const Vec<A> a = at(i), b = at(i + 1), c = at(i + 2);
      Vec<A> parts[4];
      if (w.stride == 3) {
        constexpr auto kAll = std::make_integer_sequence<int, lanes<A>>();
        parts[0] = in_turn<A, 0>(a, b, c, kAll);
        parts[1] = in_turn<A, 1>(a, b, c, kAll);
        parts[2] = in_turn<A, 2>(a, b, c, kAll);
        parts[3] = parts[2];
      } else {
        Vec<A> even[2], odd[2];
        merge_pairs<A>(a, c, even[0], even[1]);
        merge_pairs<A>(b, at(i + 3), odd[0], odd[1]);
        merge_pairs<A>(even[0], odd[0], parts[0], parts[1]);
        merge_pairs<A>(even[1], odd[1], parts[2], parts[3]);
      }
      for (int64_t f = 0; f < w.stride && i + f * kLanes < n; ++f)
        store(out + i + f * kLanes, parts[f]);
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
