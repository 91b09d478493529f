// SPDX-License-Identifier: BSD-3-Clause
// Vectors of CNNKERN_WIDTH bytes in the compilers' own vector extension (GCC, clang, any CPU):
// + - * / < > ?: work element by element, and a * b + c becomes one FMA where there is one.
// Loads and stores convert between a storage type (float, double, half, bf16) and the vector it is
// computed in. All conversions round to nearest even, keep subnormals, and keep NaN a NaN.

#define CNNKERN_INLINE [[gnu::always_inline]] inline

template <class A>
constexpr int lanes = CNNKERN_WIDTH / int(sizeof(A));
constexpr int kRegisters = CNNKERN_REGISTERS;

using f32 [[gnu::vector_size(CNNKERN_WIDTH)]] = float;
using f64 [[gnu::vector_size(CNNKERN_WIDTH)]] = double;
using i32 [[gnu::vector_size(CNNKERN_WIDTH)]] = int32_t;
using u32 [[gnu::vector_size(CNNKERN_WIDTH)]] = uint32_t;
using i64 [[gnu::vector_size(CNNKERN_WIDTH)]] = int64_t;
using u16 [[gnu::vector_size(CNNKERN_WIDTH / 2)]] = uint16_t;

template <class A>
struct VecOf;
template <>
struct VecOf<float> {
  using type = f32;
  using mask = i32;
};
template <>
struct VecOf<double> {
  using type = f64;
  using mask = i64;
};
template <class A>
using Vec = typename VecOf<A>::type;
template <class A>
using Mask = typename VecOf<A>::mask;  // what comparisons give: -1 where true, else 0

constexpr int64_t round_up(int64_t a, int64_t unit) { return (a + unit - 1) / unit * unit; }
CNNKERN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
CNNKERN_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

template <class V, class T>
CNNKERN_INLINE V load_as(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// a - 0 is a for every a, so compilers drop the subtraction; they must keep 0 + a (for a = -0).
CNNKERN_INLINE f32 splat(float a) { return a - f32{}; }
CNNKERN_INLINE f64 splat(double a) { return a - f64{}; }

// Bits of float16 and bfloat16, one in the low half of each element, to float and back.
CNNKERN_INLINE f32 from_bf16(u32 bits) { return (f32)(bits << 16); }
CNNKERN_INLINE u32 to_bf16(f32 v) {
  const u32 bits = (u32)v, rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (u32)(v != v ? i32{} + 0x7fc0 : (i32)rounded);
}
CNNKERN_INLINE f32 from_half(u32 bits) {
  const u32 sign = (bits & 0x8000) << 16, shifted = (bits & 0x7fff) << 13;
  // A subnormal is 2^-14 * 0.f: take it as 1.f * 2^-14 and subtract the one.
  const f32 small = (f32)(shifted + (113u << 23)) - (f32)(u32{} + (113u << 23));
  const u32 normal = shifted + (112u << 23), special = shifted + (224u << 23);
  const u32 finite = (u32)((i32)shifted < (1 << 23) ? (i32)small : (i32)normal);
  return (f32)(sign | (u32)((i32)shifted >= (31 << 23) ? (i32)special : (i32)finite));
}
CNNKERN_INLINE u32 to_half(f32 v) {
  const u32 bits = (u32)v, magnitude = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
  // Adding 1/2 lines a result below 2^-14 up with the last bits of a float: the sum rounds it.
  const u32 small = (u32)((f32)magnitude + 0.5f) - 0x3f000000;
  const u32 normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const i32 m = (i32)magnitude;
  const u32 finite = (u32)(m < (113 << 23) ? (i32)small : (i32)normal);
  const u32 large = (u32)(m > 0x7f800000 ? i32{} + 0x7e00 : i32{} + 0x7c00);
  return sign | (u32)(m >= 0x47800000 ? (i32)large : (i32)finite);
}

CNNKERN_INLINE f32 load(const float* p) { return load_as<f32>(p); }
CNNKERN_INLINE f64 load(const double* p) { return load_as<f64>(p); }
CNNKERN_INLINE f32 load(const bf16* p) {
  return from_bf16(__builtin_convertvector(load_as<u16>(p), u32));
}
CNNKERN_INLINE f32 load(const half* p) {
#if defined(CNNKERN_AVX512)
  return (f32)_mm512_cvtph_ps(load_as<__m256i>(p));
#elif defined(CNNKERN_AVX2)
  return (f32)_mm256_cvtph_ps(load_as<__m128i>(p));
#else
  return from_half(__builtin_convertvector(load_as<u16>(p), u32));
#endif
}

CNNKERN_INLINE void store(float* p, f32 v) { std::memcpy(p, &v, sizeof v); }
CNNKERN_INLINE void store(double* p, f64 v) { std::memcpy(p, &v, sizeof v); }
CNNKERN_INLINE void store(bf16* p, f32 v) {
  const u16 packed = __builtin_convertvector(to_bf16(v), u16);
  std::memcpy(p, &packed, sizeof packed);
}
CNNKERN_INLINE void store(half* p, f32 v) {
#if defined(CNNKERN_AVX512)
  const __m256i packed = _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
#elif defined(CNNKERN_AVX2)
  const __m128i packed = _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#else
  const u16 packed = __builtin_convertvector(to_half(v), u16);
#endif
  std::memcpy(p, &packed, sizeof packed);
}

// One element. Through a vector, so that the rounding is written once.
CNNKERN_INLINE float load_one(const float* p) { return *p; }
CNNKERN_INLINE double load_one(const double* p) { return *p; }
CNNKERN_INLINE float load_one(const bf16* p) {
  const uint32_t bits = uint32_t(p->bits) << 16;
  float a;
  std::memcpy(&a, &bits, sizeof a);
  return a;
}
CNNKERN_INLINE float load_one(const half* p) {
#if defined(CNNKERN_AVX512) || defined(CNNKERN_AVX2)
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(p->bits)));
#else
  return from_half(u32{} + uint32_t(p->bits))[0];
#endif
}
CNNKERN_INLINE void store_one(float* p, float a) { *p = a; }
CNNKERN_INLINE void store_one(double* p, double a) { *p = a; }
CNNKERN_INLINE void store_one(bf16* p, float a) { p->bits = uint16_t(to_bf16(splat(a))[0]); }
CNNKERN_INLINE void store_one(half* p, float a) {
#if defined(CNNKERN_AVX512) || defined(CNNKERN_AVX2)
  p->bits = uint16_t(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(a), _MM_FROUND_TO_NEAREST_INT)));
#else
  p->bits = uint16_t(to_half(splat(a))[0]);
#endif
}

#if defined(CNNKERN_AVX2)
alignas(32) constexpr int32_t kFirst32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
CNNKERN_INLINE __m256i first_mask32(int64_t n) { return load_as<__m256i>(kFirst32 + 8 - n); }
alignas(32) constexpr int64_t kFirst64[8] = {-1, -1, -1, -1};
CNNKERN_INLINE __m256i first_mask64(int64_t n) { return load_as<__m256i>(kFirst64 + 4 - n); }
#endif

// The first n elements (none if n <= 0); the others are not touched, and loads give 0 for them.
template <class T>
CNNKERN_INLINE Vec<Compute<T>> load_first(const T* p, int64_t n) {
  constexpr int kLanes = lanes<Compute<T>>;
  if (n >= kLanes) return load(p);
  if (n <= 0) return Vec<Compute<T>>{};
#if defined(CNNKERN_AVX512)
  if constexpr (std::is_same_v<T, float>) {
    return (f32)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
  } else if constexpr (std::is_same_v<T, double>) {
    return (f64)_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p);
  } else {
    const __m256i bits = _mm256_maskz_loadu_epi16(__mmask16((1u << n) - 1), p);
    return load(reinterpret_cast<const T*>(&bits));
  }
#else
#if defined(CNNKERN_AVX2)
  if constexpr (std::is_same_v<T, float>) return (f32)_mm256_maskload_ps(p, first_mask32(n));
  if constexpr (std::is_same_v<T, double>) return (f64)_mm256_maskload_pd(p, first_mask64(n));
#endif
  T some[kLanes] = {};
  for (int i = 0; i < kLanes; ++i)
    if (i < n) some[i] = p[i];
  return load(some);
#endif
}
template <class T>
CNNKERN_INLINE void store_first(T* p, Vec<Compute<T>> v, int64_t n) {
  constexpr int kLanes = lanes<Compute<T>>;
  if (n >= kLanes) return store(p, v);
  if (n <= 0) return;
#if defined(CNNKERN_AVX512)
  if constexpr (std::is_same_v<T, float>) {
    _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
  } else if constexpr (std::is_same_v<T, double>) {
    _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), (__m512d)v);
  } else {
    T all[kLanes];
    store(all, v);
    _mm256_mask_storeu_epi16(p, __mmask16((1u << n) - 1), load_as<__m256i>(all));
  }
#else
#if defined(CNNKERN_AVX2)
  if constexpr (std::is_same_v<T, float>) return _mm256_maskstore_ps(p, first_mask32(n), (__m256)v);
  if constexpr (std::is_same_v<T, double>)
    return _mm256_maskstore_pd(p, first_mask64(n), (__m256d)v);
#endif
  T all[kLanes];
  store(all, v);
  for (int i = 0; i < kLanes; ++i)
    if (i < n) p[i] = all[i];
#endif
}

// The later argument where it is larger or NaN; NaN, once seen, gives way only to NaN: max_pool's
// rule where `best` is what was seen so far.
template <class V>
CNNKERN_INLINE V larger_or_nan(V best, V v) {
  return (v > best) | (v != v) ? v : best;
}

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

template <class V>
CNNKERN_INLINE auto sum(V v) {
  using A = std::remove_reference_t<decltype(v[0])>;
  A part[lanes<A>];
  store(part, v);
  for (int half_count = lanes<A> / 2; half_count; half_count /= 2)
    for (int i = 0; i < half_count; ++i) part[i] += part[i + half_count];
  return part[0];
}

template <class V>
CNNKERN_INLINE bool any(V mask) {
  int64_t part[CNNKERN_WIDTH / 8], seen = 0;
  std::memcpy(part, &mask, sizeof mask);
  for (int64_t bits : part) seen |= bits;
  return seen != 0;
}

// A sum, lane by lane, that keeps what each addition rounds away (D. Knuth, The Art of Computer
// Programming 2, 4.2.2, theorem B): for sums so long or so cancelling that no blocking would do.
template <class A>
class CompensatedSum {
 public:
  CNNKERN_INLINE void add(Vec<A> v) {
    const Vec<A> sum = sum_ + v, added = sum - sum_;
    lost_ += (sum_ - (sum - added)) + (v - added);
    sum_ = sum;
  }
  // Beside an infinity the parts lost are NaN.
  CNNKERN_INLINE Vec<A> total() const { return lost_ == lost_ ? sum_ + lost_ : sum_; }

 private:
  Vec<A> sum_{}, lost_{};
};
