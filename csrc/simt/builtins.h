// SPDX-License-Identifier: BSD-3-Clause
// What nvcc has built in: thread indices, barriers, shuffles, votes, atomics, a few functions.
// Missing on purpose: atomics on floating-point numbers (their order shows in the result) and
// __activemask (what it returns is not defined by the program).
#pragma once
#include <bit>
#include <cstring>

#include "simt.h"

namespace simt {

// Constant while a kernel runs, so that the compiler asks once.
[[gnu::const]] uint3 thread_idx();
[[gnu::const]] uint3 block_idx();
[[gnu::const]] dim3 block_dim();
[[gnu::const]] dim3 grid_dim();
[[gnu::const]] unsigned char* dynamic_smem();

// bar.sync id, count. Count 0: the whole block.
void barrier(unsigned id, unsigned count, Where where);

// The lanes of mask meet here; shuffles and votes differ in what each gets.
void sync_warp(unsigned mask, Where where);
uint64_t shuffle(unsigned mask, uint64_t value, int source, int width, Where where);
unsigned ballot(unsigned mask, bool vote, Where where);
int lane_id();

// Moves 32 or 64 bits through shuffle().
template <class T>
[[gnu::no_sanitize("thread")]] T shuffle_value(unsigned mask, T value, int source, int width,
                                               Where where) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = shuffle(mask, bits, source, width, where);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

// The lane that lane reads, as CUDA defines it: segments of width lanes; one that is asked for
// outside the own segment (for xor: in a later one) is the own lane.
constexpr int shuffle_up_source(int lane, unsigned delta, int width) {
  const int in_segment = lane & (width - 1);
  return delta > unsigned(in_segment) ? lane : lane - int(delta);
}
constexpr int shuffle_down_source(int lane, unsigned delta, int width) {
  const unsigned in_segment = unsigned(lane & (width - 1));
  return delta >= unsigned(width) - in_segment ? lane : lane + int(delta);
}
constexpr int shuffle_xor_source(int lane, int mask, int width) {
  const int source = lane ^ mask;
  return source > (lane | (width - 1)) ? lane : source;
}
constexpr int shuffle_index_source(int lane, int index, int width) {
  return (lane & ~(width - 1)) | (index & (width - 1));
}

}  // namespace simt

#undef __launch_bounds__
#define __launch_bounds__(...)
#define threadIdx (simt::thread_idx())
#define blockIdx (simt::block_idx())
#define blockDim (simt::block_dim())
#define gridDim (simt::grid_dim())

inline void __syncthreads(simt::Where where = simt::Where::current()) {
  simt::barrier(0, 0, where);
}
inline void __syncwarp(unsigned mask = ~0u, simt::Where where = simt::Where::current()) {
  simt::sync_warp(mask, where);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int index, int width = 32,
              simt::Where where = simt::Where::current()) {
  const int source = simt::shuffle_index_source(simt::lane_id(), index, width);
  return simt::shuffle_value(mask, value, source, width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 simt::Where where = simt::Where::current()) {
  const int source = simt::shuffle_up_source(simt::lane_id(), delta, width);
  return simt::shuffle_value(mask, value, source, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   simt::Where where = simt::Where::current()) {
  const int source = simt::shuffle_down_source(simt::lane_id(), delta, width);
  return simt::shuffle_value(mask, value, source, width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  simt::Where where = simt::Where::current()) {
  const int source = simt::shuffle_xor_source(simt::lane_id(), lane_mask, width);
  return simt::shuffle_value(mask, value, source, width, where);
}

inline unsigned __ballot_sync(unsigned mask, int vote, simt::Where where = simt::Where::current()) {
  return simt::ballot(mask, vote != 0, where);
}
inline int __any_sync(unsigned mask, int vote, simt::Where where = simt::Where::current()) {
  return simt::ballot(mask, vote != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int vote, simt::Where where = simt::Where::current()) {
  return simt::ballot(mask, vote == 0, where) == 0;
}

// Defined in atomics.cpp. None orders any other access.
#define SIMT_ATOMICS(T)              \
  T atomicAdd(T* address, T value);  \
  T atomicSub(T* address, T value);  \
  T atomicMin(T* address, T value);  \
  T atomicMax(T* address, T value);  \
  T atomicAnd(T* address, T value);  \
  T atomicOr(T* address, T value);   \
  T atomicXor(T* address, T value);  \
  T atomicExch(T* address, T value); \
  T atomicCAS(T* address, T expected, T desired)
SIMT_ATOMICS(int);
SIMT_ATOMICS(unsigned);
SIMT_ATOMICS(unsigned long long);
#undef SIMT_ATOMICS
// Order within a block is what barriers give; between blocks the emulator does not look.
inline void __threadfence() {}
inline void __threadfence_block() {}

inline int __popc(unsigned v) { return std::popcount(v); }
inline int __popcll(unsigned long long v) { return std::popcount(v); }
inline int __clz(int v) { return std::countl_zero(static_cast<unsigned>(v)); }
inline int __clzll(long long v) { return std::countl_zero(static_cast<unsigned long long>(v)); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __ffsll(long long v) { return __builtin_ffsll(v); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t{a} * b >> 32); }
inline int __mulhi(int a, int b) { return int(int64_t{a} * b >> 32); }
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }

// Hints for caches change nothing.
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T v) {
  *p = v;
}
template <class T>
void __stcg(T* p, T v) {
  *p = v;
}

#define SIMT_MIN_MAX(T)                               \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
inline float min(float a, float b) { return __builtin_fminf(a, b); }
inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
inline double min(double a, double b) { return __builtin_fmin(a, b); }
inline double max(double a, double b) { return __builtin_fmax(a, b); }
