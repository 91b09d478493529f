// SPDX-License-Identifier: BSD-3-Clause
// Ranges of memory moved through shared memory, and the argmax of several elements at once.
#pragma once
#include "element.h"
#include "launch.h"
#include "pool_window.h"

namespace cnnkern::cuda {

// The last element at or before i whose place is a multiple of 16 bytes. Element i of a range that
// begins at `begin` lies at i - floor_16<T>(begin) in shared memory.
template <class T, class Index>
__device__ Index floor_16(Index i) {
  return i / kLanes<T> * kLanes<T>;
}

// Elements [begin, end) of `from`, which has `total`. What shares 16 bytes with them comes too
// where `wide`. One thread writes all of any 16 bytes.
template <class T, class Index>
__device__ void copy_in(T* to, const T* from, Index begin, Index end, Index total, bool wide) {
  constexpr int N = kLanes<T>, kAhead = 4;  // loads in flight
  const Index step = Index(blockDim.x) * N, own = Index(threadIdx.x) * N;
  const Index first = floor_16<T>(begin);
  const Index whole = wide ? floor_16<T>(smaller(end + N - 1, total)) : first;
#pragma unroll 1
  for (Index i = first + own; i < whole; i += kAhead * step) {
    Vector<T, N> v[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (i + k * step < whole) v[k] = load<N>(from + i + k * step);
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (i + k * step < whole) store<N>(to + (i + k * step - first), v[k]);
    }
  }
#pragma unroll 1
  for (Index i = larger(whole, first) + own; i < end; i += step) {
#pragma unroll 1
    for (Index j = larger(i, begin); j < smaller(i + N, end); ++j) to[j - first] = from[j];
  }
}

// Elements [begin, end) of `to`, which lie as S in shared memory.
template <class T, class S, class Index>
__device__ void copy_out(T* to, const S* from, Index begin, Index end, bool wide) {
  constexpr int N = kLanes<T>, M = smaller(N, kLanes<S>);
  const Index first = floor_16<T>(begin);
#pragma unroll 1
  for (Index i = first + Index(threadIdx.x) * N; i < end; i += Index(blockDim.x) * N) {
    if (wide && i >= begin && i + N <= end) {
      Vector<T, N> v;
      for (int j = 0; j < N; j += M) {
        const auto staged = load<M>(from + (i - first) + j);
        for (int k = 0; k < M; ++k) v.value[j + k] = T(staged.value[k]);
      }
      store<N>(to + i, v);
    } else {
#pragma unroll 1
      for (Index j = larger(i, begin); j < smaller(i + N, end); ++j) to[j] = T(from[j - first]);
    }
  }
}

// A window-local argmax is a byte or an int32: `bytes`, the same for all of a call.
template <int V, class Index>
__device__ void store_taps(void* argmax, int bytes, Index i, const int32_t (&taps)[V]) {
  if (bytes == 1) {
    Vector<uint8_t, V> v;
    for (int j = 0; j < V; ++j) v.value[j] = static_cast<uint8_t>(taps[j]);
    store<V>(static_cast<uint8_t*>(argmax) + i, v);
    return;
  }
  constexpr int N = V < 4 ? V : 4;
  for (int j = 0; j < V; j += N) {
    Vector<int32_t, N> v;
    for (int k = 0; k < N; ++k) v.value[k] = taps[j + k];
    store<N>(static_cast<int32_t*>(argmax) + i + j, v);
  }
}
template <int V, class Index>
__device__ void load_taps(const void* argmax, int bytes, Index i, int32_t (&taps)[V]) {
  if (bytes == 1) {
    const auto v = load<V>(static_cast<const uint8_t*>(argmax) + i);
    for (int j = 0; j < V; ++j) taps[j] = v.value[j];
    return;
  }
  constexpr int N = V < 4 ? V : 4;
  for (int j = 0; j < V; j += N) {
    const auto v = load<N>(static_cast<const int32_t*>(argmax) + i + j);
    for (int k = 0; k < N; ++k) taps[j + k] = v.value[k];
  }
}

}  // namespace cnnkern::cuda
