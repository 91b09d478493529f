// SPDX-License-Identifier: BSD-3-Clause
// Offsets are int32 where every tensor of the call has fewer than 2^31 elements, else int64.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "wide.h"

namespace cnnkern::cuda {

// Division by a number that is known before the launch. For 32 bits by multiplication: with
// s = ceil(log2 d) and m = ceil(2^(32+s) / d) - 2^32, a / d = (a + (a * m >> 32)) >> s for all
// 0 <= a < 2^31 (Granlund and Montgomery, "Division by invariant integers using multiplication").
template <class Index>
struct Divisor;

template <>
struct Divisor<int32_t> {
  int32_t d = 1;
  uint32_t multiplier = 0, shift = 0;

  Divisor() = default;
  explicit Divisor(int64_t divisor) : d(static_cast<int32_t>(divisor)) {
    while ((int64_t{1} << shift) < divisor) ++shift;
    const uint64_t numerator = (uint64_t{1} << 32) * ((uint64_t{1} << shift) - uint64_t(divisor));
    multiplier = static_cast<uint32_t>(numerator / uint64_t(divisor) + 1);
  }
  __host__ __device__ int32_t divide(int32_t a) const {
    const uint32_t u = static_cast<uint32_t>(a);
    const uint32_t high = static_cast<uint32_t>(uint64_t{u} * multiplier >> 32);
    return static_cast<int32_t>((uint64_t{u} + high) >> shift);
  }
};

template <>
struct Divisor<int64_t> {
  int64_t d = 1;

  Divisor() = default;
  explicit Divisor(int64_t divisor) : d(divisor) {}
  __host__ __device__ int64_t divide(int64_t a) const { return a / d; }
};

// quotient and a = what is left.
template <class Index>
__host__ __device__ Index split(Index& a, const Divisor<Index>& by) {
  const Index quotient = by.divide(a);
  a -= quotient * by.d;
  return quotient;
}

// The lowest digit of a number whose remaining digits stay in it.
template <class Index>
__host__ __device__ Index pop(Index& a, const Divisor<Index>& base) {
  Index digit = a;
  a = split(digit, base);
  return digit;
}

// Calls f(Index()) with the type of the offsets.
template <class F>
auto with_index(bool narrow, const F& f) {
  return narrow ? f(int32_t()) : f(int64_t());
}

}  // namespace cnnkern::cuda
