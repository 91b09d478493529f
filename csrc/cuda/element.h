// SPDX-License-Identifier: BSD-3-Clause
// Element types as kernels see them: how each is stored, computed with, and moved 16 bytes at once.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "../problem/types.h"

namespace cnnkern::cuda {

// 16-bit types are computed with, and accumulated, in float.
template <class T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeType<T>::type;

__host__ __device__ inline float widen(float v) { return v; }
__host__ __device__ inline double widen(double v) { return v; }
__host__ __device__ inline float widen(__half v) { return __half2float(v); }
__host__ __device__ inline float widen(__nv_bfloat16 v) { return __bfloat162float(v); }

// To the nearest, ties to even.
template <class T>
__host__ __device__ T narrow(Compute<T> v);
template <>
__host__ __device__ inline float narrow<float>(float v) {
  return v;
}
template <>
__host__ __device__ inline double narrow<double>(double v) {
  return v;
}
template <>
__host__ __device__ inline __half narrow<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__host__ __device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

// A run of elements that moves in one access of at most 16 bytes; its address is a multiple of its
// size.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  static_assert(sizeof(T) * N <= 16);
  T value[N];
};
template <class T>
constexpr int kLanes = int(16 / sizeof(T));

// One integer of so many bytes: what moves is then surely one access, not one an element.
template <int bytes>
struct Word;
template <>
struct Word<1> {
  using type = unsigned char;
};
template <>
struct Word<2> {
  using type = unsigned short;
};
template <>
struct Word<4> {
  using type = unsigned;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

template <int N, class T>
__device__ Vector<T, N> load(const T* from) {
  using W = typename Word<int(sizeof(T)) * N>::type;
  return __builtin_bit_cast(Vector<T, N>, *reinterpret_cast<const W*>(from));
}
template <int N, class T>
__device__ void store(T* to, const Vector<T, N>& v) {
  using W = typename Word<int(sizeof(T)) * N>::type;
  *reinterpret_cast<W*>(to) = __builtin_bit_cast(W, v);
}

inline bool is_aligned(const void* p, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0;
}

// Calls f(T()) with the element type of dtype.
template <class F>
auto with_element(DataType dtype, const F& f) {
  switch (dtype) {
    case DataType::float64:
      return f(double());
    case DataType::float16:
      return f(__half());
    case DataType::bfloat16:
      return f(__nv_bfloat16());
    default:
      return f(float());
  }
}

}  // namespace cnnkern::cuda
