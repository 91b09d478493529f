// SPDX-License-Identifier: BSD-3-Clause
#include "flops.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels.h"

namespace cnnkern::cpu {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Sums tend to 1: neither overflow nor subnormal numbers, which some processors take longer for.
constexpr double kOperands[2] = {0.5, 0.5};

// A cache line each, so that threads do not wait for each other's stores.
struct alignas(64) Count {
  int64_t multiply_adds;
  double sink;
};

// How many steps this thread does in so long, at its best.
int64_t steps_in(double seconds, FlopsKernels::Run kernel) {
  constexpr int64_t kSteps = 1 << 14;  // well over a clock's tick, well under a time slice
  double sink, best = 1;
  for (int i = 0; i < 8; ++i) {
    const auto start = Clock::now();
    kernel(kSteps, kOperands, &sink);
    best = std::min(best, seconds_since(start));
  }
  return static_cast<int64_t>(static_cast<double>(kSteps) * seconds / std::max(best, 1e-9));
}

// FLOP/s of all threads together.
double run(FlopsKernels::Run kernel, int64_t steps, std::vector<Count>& counts,
           const ParallelFor& parallel) {
  const auto start = Clock::now();
  parallel(static_cast<int64_t>(counts.size()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Count& count = counts[static_cast<size_t>(i)];
      count.multiply_adds = kernel(steps, kOperands, &count.sink);
    }
  });
  const double seconds = seconds_since(start);
  double flops = 0;
  for (const Count& count : counts) flops += 2 * static_cast<double>(count.multiply_adds);
  return flops / seconds;
}

}  // namespace

double measure_flops(DataType dtype, double milliseconds, int64_t threads,
                     const ParallelFor& parallel) {
  // Long enough to start all threads, short enough that the best round was not interrupted.
  constexpr double kRoundSeconds = 2e-3;
  constexpr int kLeastRounds = 3;
  const FlopsKernels& kernels_of = *kernels().flops;
  const auto kernel = dtype == DataType::float64 ? kernels_of.float64 : kernels_of.float32;
  std::vector<Count> counts(static_cast<size_t>(std::max<int64_t>(threads, 1)));
  const auto start = Clock::now();
  const int64_t steps = steps_in(kRoundSeconds, kernel);
  double best = 0;
  for (int i = 0; i < kLeastRounds || seconds_since(start) < milliseconds * 1e-3; ++i) {
    best = std::max(best, run(kernel, steps, counts, parallel));
  }
  return best;
}

}  // namespace cnnkern::cpu
