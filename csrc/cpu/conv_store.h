// SPDX-License-Identifier: BSD-3-Clause
// The end of a gather: sums plus bias and residual, relu, conversion, and a store to any layout and
// lattice.

// What is done to sums before they are stored.
template <class T>
struct Epilogue {
  const T* bias;      // a value a filter, or null
  const T* residual;  // a value for each element of y, where y has it, or null
  bool relu;
};

// Asks for what store_sums is going to add, while the sums are still made: pieces far apart, which
// no hardware foresees.
template <class T>
inline void prefetch_residual(const Epilogue<T>& end, int64_t pixels, int64_t filters,
                              const int64_t* destination, int64_t filter_stride) {
  if (!end.residual) return;
  constexpr int64_t kLine = kCacheLine / int64_t(sizeof(T));
  // Along the axis whose elements lie side by side, a cache line at a time.
  const int64_t pixel_step = filter_stride == 1 ? 1 : kLine;
  const int64_t filter_step = filter_stride == 1 ? kLine : 1;
  for (int64_t k = 0; k < filters; k += filter_step)
    for (int64_t i = 0; i < pixels; i += pixel_step)
      __builtin_prefetch(end.residual + destination[i] + k * filter_stride, 0, 2);
}

// sums: [pixel][vectors * lanes]; y points to the first filter. stretch[i]: how many pixels from i
// on lie side by side in y.
template <class T, class A = Compute<T>>
inline void store_sums(A* sums, int vectors, int64_t pixels, int64_t filters,
                       const Epilogue<T>& end, const int64_t* destination, const int64_t* stretch,
                       int64_t filter_stride, T* y) {
  constexpr int n = lanes<A>;
  const int64_t row = vectors * n;
  const bool relu = end.relu;
  for (int v = 0; v < vectors; ++v) {
    const int64_t width = smaller(n, filters - v * n);
    const Vec<A> b = end.bias ? load_first(end.bias + v * n, width) : Vec<A>{};
    A* const column = sums + v * n;
    if (filter_stride == 1) {
      for (int64_t i = 0; i < pixels; ++i) {
        const int64_t at = destination[i] + v * n;
        Vec<A> value = load(column + i * row) + b;
        if (end.residual) value += load_first(end.residual + at, width);
        if (width == n)
          store(y + at, finish<A>(value, relu));
        else
          store_first(y + at, finish<A>(value, relu), width);
      }
      continue;
    }
    const int64_t first = v * n * filter_stride;
    for (int64_t i = 0; i < pixels;) {
      const int64_t at = first + destination[i];
      const int64_t length = smaller(smaller(n, stretch[i]), pixels - i);
      if (length < n / 2) {
        alignas(CNNKERN_WIDTH) A one[n] = {};
        Vec<A> sum = load(column + i * row) + b;
        if (end.residual) {
          for (int64_t k = 0; k < width; ++k)
            one[k] = load_one(end.residual + at + k * filter_stride);
          sum += load(one);
        }
        store(one, finish<A>(sum, relu));
        for (int64_t k = 0; k < width; ++k) store_one(y + at + k * filter_stride, one[k]);
        ++i;
        continue;
      }
      Vec<A> value[n];
      for (int j = 0; j < n; ++j) value[j] = load(column + (i + j) * row) + b;
      transpose(value);
      if (end.residual)
        for (int k = 0; k < width; ++k)
          value[k] += load_first(end.residual + at + k * filter_stride, length);
      if (length == n && width == n) {
#pragma GCC unroll 16
        for (int k = 0; k < n; ++k) store(y + at + k * filter_stride, finish<A>(value[k], relu));
      } else {
        for (int k = 0; k < width; ++k)
          store_first(y + at + k * filter_stride, finish<A>(value[k], relu), length);
      }
      i += length;
    }
  }
}
