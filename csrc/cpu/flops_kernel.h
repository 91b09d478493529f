// SPDX-License-Identifier: BSD-3-Clause
// Multiply-adds that need no memory: as many sums at once as hide the latency of an FMA on two
// units, and registers left for both operands.
constexpr int kSums = 12, kStepsAtOnce = 4;

template <class A>
int64_t multiply_adds(int64_t steps, const double* operands, double* sink) {
  const Vec<A> factor = splat(A(operands[0])), term = splat(A(operands[1]));
  Vec<A> sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = splat(A(i));
  const int64_t count = (steps + kStepsAtOnce - 1) / kStepsAtOnce;
  for (int64_t n = 0; n < count; ++n) {
#pragma GCC unroll 4
    for (int step = 0; step < kStepsAtOnce; ++step)
#pragma GCC unroll 12
      for (int i = 0; i < kSums; ++i) sums[i] = sums[i] * factor + term;
  }
  Vec<A> total = sums[0];
  for (int i = 1; i < kSums; ++i) total += sums[i];
  *sink = double(sum(total));
  return count * kStepsAtOnce * kSums * lanes<A>;
}

constexpr FlopsKernels flops_table = {multiply_adds<float>, multiply_adds<double>};
