// SPDX-License-Identifier: BSD-3-Clause
// The end of a gather: sums plus bias, relu, conversion, and a store to any layout and lattice.

// sums: [pixel][vectors * lanes]; y points to the first filter. stretch[i]: how many pixels from i
// on lie side by side in y.
template <class T, class A = Compute<T>>
inline void store_sums(A* sums, int vectors, int64_t pixels, int64_t filters, const T* bias,
                       bool relu, const int64_t* destination, const int64_t* stretch,
                       int64_t filter_stride, T* y) {
  constexpr int n = lanes<A>;
  const int64_t row = vectors * n;
  for (int v = 0; v < vectors; ++v) {
    const int64_t width = smaller(n, filters - v * n);
    const Vec<A> b = bias ? load_first(bias + v * n, width) : Vec<A>{};
    A* const column = sums + v * n;
    if (filter_stride == 1) {
      if (width == n)
        for (int64_t i = 0; i < pixels; ++i)
          store(y + destination[i] + v * n, finish<A>(load(column + i * row) + b, relu));
      else
        for (int64_t i = 0; i < pixels; ++i)
          store_first(y + destination[i] + v * n, finish<A>(load(column + i * row) + b, relu),
                      width);
      continue;
    }
    T* const out = y + v * n * filter_stride;
    for (int64_t i = 0; i < pixels;) {
      const int64_t length = smaller(smaller(n, stretch[i]), pixels - i);
      Vec<A> value[n];
      if (length < n / 2) {
        alignas(CNNKERN_WIDTH) A one[n];
        store(one, finish<A>(load(column + i * row) + b, relu));
        for (int64_t k = 0; k < width; ++k)
          store_one(out + destination[i] + k * filter_stride, one[k]);
        ++i;
        continue;
      }
      for (int j = 0; j < n; ++j) value[j] = finish<A>(load(column + (i + j) * row) + b, relu);
      transpose(value);
      T* const to = out + destination[i];
      if (length == n && width == n) {
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) store(to + k * filter_stride, value[k]);
      } else {
        for (int k = 0; k < width; ++k) store_first(to + k * filter_stride, value[k], length);
      }
      i += length;
    }
  }
}
