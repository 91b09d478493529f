// SPDX-License-Identifier: BSD-3-Clause
// Filters in the order in which tiles read them: [group][block of vectors][tap][channel][lane],
// the lanes past the last filter zero. An input gradient's lanes are the problem's channels.

template <class T>
inline void pack_filters(const FilterPack& g, int64_t begin, int64_t end) {
  using A = Compute<T>;
  constexpr int n = lanes<A>;
  const int64_t vectors = (g.lanes + n - 1) / n, terms = taps_of(g.axes) * g.channels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task / vectors, vector = task % vectors;
    const int64_t block = vector / kMaxVectors * kMaxVectors;
    const int64_t row = smaller(kMaxVectors, vectors - block) * n;
    const int64_t width = smaller(n, g.lanes - vector * n);
    A* out = static_cast<A*>(g.packed) + (group * vectors + block) * n * terms +
             (vector - block) * n;
    const T* const w =
        static_cast<const T*>(g.w) + group * g.group_stride + vector * n * g.lane_stride;
    const auto& [depth, height, wide] = g.axes;
    for (int64_t d = 0; d < depth.taps; ++d)
      for (int64_t h = 0; h < height.taps; ++h)
        for (int64_t s = 0; s < wide.taps; ++s) {
          const T* from = w + (depth.tap_first + d * depth.tap_spacing) * g.strides[2] +
                          (height.tap_first + h * height.tap_spacing) * g.strides[3] +
                          (wide.tap_first + s * wide.tap_spacing) * g.strides[4];
          for (int64_t c = 0; c < g.channels; ++c, from += g.channel_stride, out += row) {
            if (g.lane_stride == 1) {
              store(out, load_first(from, width));
              continue;
            }
            for (int64_t lane = 0; lane < n; ++lane)
              out[lane] = lane < width ? load_one(from + lane * g.lane_stride) : A(0);
          }
        }
  }
}
