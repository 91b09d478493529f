// SPDX-License-Identifier: BSD-3-Clause
// y = the sum of each window / its divisor.
#include "pool.h"
#include "pool_forward.h"

namespace cnnkern::cuda {

namespace {

// A running sum of at most kMostTerms, and the total of those before it.
template <class Element>
struct Average {
  using T = Element;
  using A = Compute<T>;
  using Ordered = Average<T>;
  static constexpr bool kArgmax = false;
  struct State {
    A sum, total;
  };

  __device__ static void start(State& state, int32_t) { state.sum = state.total = 0; }
  __device__ static void take(State& state, A v, int32_t) { state.sum += v; }
  __device__ static void flush(State& state) {
    state.total += state.sum;
    state.sum = 0;
  }
  __device__ static void merge(State& state, const State& other) {
    state.total = (state.total + state.sum) + (other.total + other.sum);
    state.sum = 0;
  }
  template <class Index>
  __device__ static A result(const State& state, Index divisor) {
    return (state.total + state.sum) / A(divisor);
  }
};

}  // namespace

void avg_pool(const PoolProblem& problem, const void* x, void* y, Stream stream) {
  with_element(problem.dtype, [&](auto element) {
    pool_forward<Average<decltype(element)>>(problem, x, y, nullptr, stream);
  });
}

}  // namespace cnnkern::cuda
