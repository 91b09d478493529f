// SPDX-License-Identifier: BSD-3-Clause
// Filters in the order in which tiles read them: [group][block of vectors][tap][channel][lane],
// the lanes past the last filter zero. An input gradient's lanes are the problem's channels.

// Vectors of lanes, of which `width` exist, from columns that are contiguous in memory:
// put(column, vector) for each. A few columns left are gathered, more are transposed.
template <class T, class Put>
CNNKERN_INLINE void transpose_columns(const T* from, int64_t lane_stride, int64_t width,
                                      int64_t columns, const Put& put) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  int64_t column = 0;
  for (; columns - column >= n / 2 && columns - column > 1; column += n) {
    const int64_t length = smaller(n, columns - column);
    Vec<A> v[n];
    for (int lane = 0; lane < n; ++lane)
      v[lane] = lane < width ? load_first(from + column + lane * lane_stride, length) : Vec<A>{};
    transpose(v);
    for (int i = 0; i < n; ++i)
      if (i < length) put(column + i, v[i]);
  }
  for (; column < columns; ++column) {
    A one[n] = {};
    for (int64_t lane = 0; lane < width; ++lane)
      one[lane] = load_one(from + column + lane * lane_stride);
    put(column, load(one));
  }
}

template <class T>
inline void pack_filters(const FilterPack& g, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  const int64_t vectors = (g.lanes + n - 1) / n, taps = taps_of(g.axes);
  const auto& [depth, height, wide] = g.axes;
  // Every tap, and in memory side by side, first to last or (input gradient) last to first.
  const int64_t sign = wide.tap_spacing;
  const int64_t last = sign > 0 ? 0 : taps - 1;
  const bool row =
      wide.tap_first == (sign > 0 ? 0 : wide.taps - 1) &&
      height.tap_first == (sign > 0 ? 0 : height.taps - 1) &&
      depth.tap_first == (sign > 0 ? 0 : depth.taps - 1) &&
      (wide.taps == 1 || (g.strides[4] == 1 && sign * sign == 1)) &&
      (height.taps == 1 || (g.strides[3] == wide.taps && height.tap_spacing == sign)) &&
      (depth.taps == 1 || (g.strides[2] == wide.taps * height.taps && depth.tap_spacing == sign));
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task / vectors, vector = task % vectors;
    const int64_t block = vector / kMaxVectors * kMaxVectors;
    const int64_t pitch = smaller(kMaxVectors, vectors - block) * n;
    const int64_t width = smaller(n, g.lanes - vector * n);
    A* const out = static_cast<A*>(g.packed) + (group * vectors + block) * n * taps * g.channels +
                   (vector - block) * n;
    const T* const w =
        static_cast<const T*>(g.w) + group * g.group_stride + vector * n * g.lane_stride;
    const auto at = [&](int64_t tap, int64_t channel) {
      return out + (tap * g.channels + channel) * pitch;
    };
    if (row && taps > 1 && g.lane_stride != 1 && g.channel_stride == taps && sign > 0) {
      int64_t tap = 0, channel = 0;
      transpose_columns(w, g.lane_stride, width, taps * g.channels, [&](int64_t, Vec<A> v) {
        store(at(tap, channel), v);
        if (++tap == taps) tap = 0, ++channel;
      });
      continue;
    }
    if (row && taps > 1 && g.lane_stride != 1 && g.channel_stride != 1) {
      for (int64_t c = 0; c < g.channels; ++c)
        transpose_columns(
            w + c * g.channel_stride, g.lane_stride, width, taps,
            [&](int64_t column, Vec<A> v) { store(at(last ? last - column : column, c), v); });
      continue;
    }
    int64_t tap = 0;
    for (int64_t d = 0; d < depth.taps; ++d)
      for (int64_t h = 0; h < height.taps; ++h)
        for (int64_t s = 0; s < wide.taps; ++s, ++tap) {
          const T* const from = w + (depth.tap_first + d * depth.tap_spacing) * g.strides[2] +
                                (height.tap_first + h * height.tap_spacing) * g.strides[3] +
                                (wide.tap_first + s * wide.tap_spacing) * g.strides[4];
          if (g.lane_stride == 1) {
            for (int64_t c = 0; c < g.channels; ++c)
              store(at(tap, c), load_first(from + c * g.channel_stride, width));
          } else if (g.channel_stride == 1) {
            transpose_columns(from, g.lane_stride, width, g.channels,
                              [&](int64_t c, Vec<A> v) { store(at(tap, c), v); });
          } else {
            for (int64_t c = 0; c < g.channels; ++c)
              transpose_columns(from + c * g.channel_stride, g.lane_stride, width, 1,
                                [&](int64_t, Vec<A> v) { store(at(tap, c), v); });
          }
        }
  }
}
