// SPDX-License-Identifier: BSD-3-Clause
// Which taps of a window lie inside the input, and which windows cover an input position.

template <class E>
CNNKERN_INLINE E* take(PoolScratch& scratch, int64_t count) {
  return static_cast<E*>(scratch.get(count * int64_t(sizeof(E))));
}

struct Window {
  int64_t first, count;  // taps inside the input
};
// Where the first tap of a window lies, in the padding or not.
CNNKERN_INLINE int64_t begin_of(const PoolAxis& a, int64_t output) {
  return a.uneven ? output * a.input / a.output : output * a.stride - a.pad_before;
}
CNNKERN_INLINE Window inside(const PoolAxis& a, int64_t output) {
  const int64_t at = begin_of(a, output);
  if (a.uneven) return {0, ((output + 1) * a.input + a.output - 1) / a.output - at};
  int64_t first = at < 0 ? -at : 0, end = larger(a.input - at, 0);
  if (a.dilation != 1) {
    first = (first + a.dilation - 1) / a.dilation;
    end = (end + a.dilation - 1) / a.dilation;
  }
  return {first, larger(smaller(end, a.kernel) - first, 0)};
}

// What this axis contributes to an average's divisor. 1 where nothing is summed: 0 / 1 = 0.
CNNKERN_INLINE int64_t counted(const PoolShape& g, const PoolAxis& a, int64_t output) {
  if (g.divisor != 0) return 1;
  if (!g.count_padding || a.uneven) return larger(inside(a, output).count, 1);
  const int64_t room = a.input + a.pad_after + a.pad_before - output * a.stride;
  return larger(smaller((room + a.dilation - 1) / a.dilation, a.kernel), 1);
}

// Taps that meet the same input position from different windows are `taps` apart, their windows
// `windows` apart.
struct Steps {
  int64_t taps, windows;
  explicit Steps(const PoolAxis& a) {
    int64_t common = a.stride, rest = a.dilation;
    while (rest != 0) {
      const int64_t next = common % rest;
      common = rest;
      rest = next;
    }
    taps = a.stride / common;
    windows = a.dilation / common;
  }
};

// The windows that cover an input position, in ascending order: window, window + windows, ... meet
// it with tap, tap - taps, ... (uneven: tap_of says with which)
struct Cover {
  int64_t window, tap, count;
};
// `position` counts from the first element of the padding.
CNNKERN_INLINE Cover covering(const PoolAxis& a, const Steps& step, int64_t position) {
  if (a.uneven) {
    // begin_of and its end, with the two sizes exchanged.
    const int64_t window = position * a.output / a.input;
    const int64_t end = ((position + 1) * a.output + a.input - 1) / a.input;
    return {window, position - begin_of(a, window), end - window};
  }
  for (int64_t tap = 0; tap < smaller(step.taps, a.kernel); ++tap) {
    const int64_t offset = position - tap * a.dilation;
    if (offset < 0) break;
    if (offset % a.stride != 0) continue;
    const int64_t window = offset / a.stride;
    const int64_t most = smaller((a.kernel - 1 - tap) / step.taps, window / step.windows);
    const int64_t beyond = window - (a.output - 1);
    const int64_t least = beyond > 0 ? (beyond + step.windows - 1) / step.windows : 0;
    return {window - most * step.windows, tap + most * step.taps, larger(most - least + 1, 0)};
  }
  return {0, 0, 0};
}

// The tap of number `i` of those windows.
CNNKERN_INLINE int64_t tap_of(const PoolAxis& a, const Steps& step, const Cover& cover, int64_t i) {
  if (!a.uneven) return cover.tap - i * step.taps;
  return cover.tap + begin_of(a, cover.window) - begin_of(a, cover.window + i);
}
// The most windows that cover one position.
CNNKERN_INLINE int64_t most_covering(const PoolAxis& a) {
  if (!a.uneven) return smaller(a.kernel, a.output);
  return smaller((a.output + a.input - 1) / a.input + 1, a.output);
}

// Walks over the rows of a tensor: row = (image * depths + depth) * heights + height.
struct RowIndex {
  int64_t depths, heights, image, depth, height;
  RowIndex(int64_t row, int64_t depths_, int64_t heights_) : depths(depths_), heights(heights_) {
    image = row / (depths * heights);
    depth = row / heights % depths;
    height = row % heights;
  }
  CNNKERN_INLINE void next() {
    if (++height < heights) return;
    height = 0;
    if (++depth < depths) return;
    depth = 0;
    ++image;
  }
};

// The rows of one image that the window (depth, height) takes from, and the number of the first
// tap in each (of the whole window; null where nobody asks).
template <class T>
CNNKERN_INLINE int64_t window_rows(const PoolShape& g, const T* image, int64_t depth,
                                   int64_t height, const T** rows, int64_t* taps) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const Window t = inside(d, depth), r = inside(h, height);
  const int64_t row = w.input * g.block;
  const int64_t z = begin_of(d, depth), y = begin_of(h, height);
  int64_t count = 0;
  for (int64_t i = t.first; i < t.first + t.count; ++i)
    for (int64_t j = r.first; j < r.first + r.count; ++j, ++count) {
      rows[count] = image + ((z + i * d.dilation) * h.input + y + j * h.dilation) * row;
      if (taps) taps[count] = (i * h.kernel + j) * w.kernel;
    }
  return count;
}
CNNKERN_INLINE int64_t most_rows(const PoolShape& g) {
  return smaller(g.axis[0].kernel, g.axis[0].input) * smaller(g.axis[1].kernel, g.axis[1].input);
}

template <class A>
using LaneInt = std::remove_reference_t<decltype(Mask<A>{}[0])>;

// Elements of an argmax as lanes beside those of Compute type A. Compilers take conversions between
// lanes of different sizes apart element by element, hence the shuffle and the intrinsics.
template <class A, class I>
CNNKERN_INLINE Mask<A> load_index(const I* p) {
  typedef I some __attribute__((vector_size(lanes<A> * sizeof(I))));
#if defined(CNNKERN_AVX512) || defined(CNNKERN_AVX2)
  if constexpr (sizeof(I) < sizeof(A)) {
#if defined(CNNKERN_AVX512)
    if constexpr (sizeof(I) == 4)
      return (Mask<A>)_mm512_maskz_cvtepi32_epi64(0xff, load_as<__m256i>(p));
    __m128i packed{};
    std::memcpy(&packed, p, lanes<A> * sizeof(I));
    if constexpr (sizeof(A) == 4)
      return (Mask<A>)_mm512_maskz_cvtepu8_epi32(0xffff, packed);
    else
      return (Mask<A>)_mm512_maskz_cvtepu8_epi64(0xff, packed);
#else
    __m128i packed{};
    std::memcpy(&packed, p, lanes<A> * sizeof(I));
    if constexpr (sizeof(A) == 4)
      return (Mask<A>)_mm256_cvtepu8_epi32(packed);
    else if constexpr (sizeof(I) == 1)
      return (Mask<A>)_mm256_cvtepu8_epi64(packed);
    else
      return (Mask<A>)_mm256_cvtepi32_epi64(packed);
#endif
  }
#endif
  return __builtin_convertvector(load_as<some>(p), Mask<A>);
}
template <class A, class I, int... E>
CNNKERN_INLINE void store_index(I* p, Mask<A> v, std::integer_sequence<int, E...>) {
  typedef I parts __attribute__((vector_size(CNNKERN_WIDTH)));
  constexpr int kParts = int(sizeof(A) / sizeof(I));
  constexpr int kLow = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : kParts - 1;
  const auto packed = __builtin_shufflevector((parts)v, (parts)v, (E * kParts + kLow)...);
  std::memcpy(p, &packed, lanes<A> * sizeof(I));
}
template <class A, class I>
CNNKERN_INLINE void store_index(I* p, Mask<A> v) {
  store_index<A>(p, v, std::make_integer_sequence<int, lanes<A>>());
}
template <class A, class I>
CNNKERN_INLINE void store_index_first(I* p, Mask<A> v, int64_t n) {
  if (n >= lanes<A>) return store_index<A>(p, v);
  I all[lanes<A>];
  store_index<A>(all, v);
  for (int64_t i = 0; i < n; ++i) p[i] = all[i];
}
template <class A>
CNNKERN_INLINE Mask<A> splat_index(int64_t a) {
  return Mask<A>{} + std::remove_reference_t<decltype(Mask<A>{}[0])>(a);
}
// The first n lanes of v, and of `rest` the others.
template <class A>
CNNKERN_INLINE Vec<A> first_lanes(Vec<A> v, Vec<A> rest, int64_t n) {
  Mask<A> lane{};
  for (int i = 0; i < lanes<A>; ++i) lane[i] = i;
  return lane < splat_index<A>(n) ? v : rest;
}
template <class A>
CNNKERN_INLINE void fill(A* out, int64_t count, A value) {
  for (int64_t i = 0; i < count; ++i) out[i] = value;
}
