// SPDX-License-Identifier: BSD-3-Clause
// Running tasks: on the caller's threads where there is enough to do, else right here.
#pragma once
#include "parallel.h"

namespace cnnkern::cpu {

// Waking threads costs microseconds: so much arithmetic takes about as long.
constexpr double kInlineFlops = 5e5;

template <class Work>
void run_tasks(const ParallelFor& parallel, int64_t tasks, double flops, const Work& work) {
  if (tasks <= 0) return;
  if (tasks == 1 || flops < kInlineFlops) return work(int64_t(0), tasks);
  parallel(tasks, [&work](int64_t begin, int64_t end) {
    if (begin < end) work(begin, end);
  });
}

}  // namespace cnnkern::cpu
