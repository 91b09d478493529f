// SPDX-License-Identifier: BSD-3-Clause
// Running tasks: on the caller's threads where there is enough to do, else right here.
#pragma once
#include <algorithm>
#include <vector>

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

// The tasks of several calls one after the other, measured by what they cost: threads get equal
// shares of that, and a task belongs to the share that it begins in.
class TaskLine {
 public:
  void add(int64_t tasks, double cost) {
    lines_.push_back({tasks, std::max<int64_t>(1, int64_t(cost)), units_});
    units_ += tasks * lines_.back().cost;
    tasks_ += tasks;
  }
  // work(each) in every share; each(body) there calls body(call, first task, end).
  template <class Work>
  void run(const ParallelFor& parallel, double flops, const Work& work) const {
    const auto share = [&](int64_t begin, int64_t end) {
      work([&](const auto& body) {
        for (size_t i = 0; i < lines_.size(); ++i) {
          const Line& line = lines_[i];
          const int64_t from = line.starts_before(begin), to = line.starts_before(end);
          if (from < to) body(i, from, to);
        }
      });
    };
    const auto unit = [&](int64_t task) { return int64_t(__int128(units_) * task / tasks_); };
    run_tasks(parallel, tasks_, flops,
              [&](int64_t begin, int64_t end) { share(unit(begin), unit(end)); });
  }

 private:
  struct Line {
    int64_t tasks, cost, at;
    int64_t starts_before(int64_t unit) const {
      return std::clamp<int64_t>((unit - at + cost - 1) / cost, 0, tasks);
    }
  };
  std::vector<Line> lines_;
  int64_t units_ = 0, tasks_ = 0;
};

}  // namespace cnnkern::cpu
