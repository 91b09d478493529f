// SPDX-License-Identifier: BSD-3-Clause
// y = the largest tap of each window, and which one that is.
#include <cmath>

#include "pool.h"
#include "pool_forward.h"

namespace cnnkern::cuda {

namespace {

// NaN wins (the last one), ties go to the first tap. Where nothing beats -infinity the first tap
// inside the input stays.
template <class Element, bool kWithArgmax>
struct Max {
  using T = Element;
  using A = Compute<T>;
  static constexpr bool kArgmax = kWithArgmax;
  using Ordered = Max<T, true>;  // equal zeros have signs, so their order matters
  struct State {
    A best;
    int32_t tap;
  };

  __device__ static void start(State& state, int32_t first) {
    state.best = -A(INFINITY);
    state.tap = first;
  }
  __device__ static void take(State& state, A v, int32_t tap) {
    const bool wins = v > state.best || v != v;
    state.best = wins ? v : state.best;
    if (kArgmax) state.tap = wins ? tap : state.tap;
  }
  __device__ static void flush(State&) {}
  // In any order of slices, whose taps interleave.
  __device__ static void merge(State& state, const State& other) {
    const bool nan = state.best != state.best, other_nan = other.best != other.best;
    const bool later = other.tap > state.tap;
    const bool wins =
        other_nan ? !nan || later
                  : !nan && (other.best > state.best || (other.best == state.best && !later));
    if (wins) state = other;
  }
  template <class Index>
  __device__ static A result(const State& state, Index) {
    return state.best;
  }
};

}  // namespace

void max_pool(const PoolProblem& problem, const void* x, void* y, void* argmax, Stream stream) {
  with_element(problem.dtype, [&](auto element) {
    using T = decltype(element);
    if (argmax != nullptr) {
      pool_forward<Max<T, true>>(problem, x, y, argmax, stream);
    } else {
      pool_forward<Max<T, false>>(problem, x, y, nullptr, stream);
    }
  });
}

}  // namespace cnnkern::cuda
