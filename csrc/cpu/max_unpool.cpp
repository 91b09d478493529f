// SPDX-License-Identifier: BSD-3-Clause
#include "max_unpool.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "pool_drive.h"

namespace cnnkern::cpu {

namespace {

constexpr int64_t kChannels = 32;  // of a task: as many as share a line

// The smallest place that any thread names.
class First {
 public:
  void lower(int64_t place) {
    int64_t seen = place_.load(std::memory_order_relaxed);
    while (place < seen && !place_.compare_exchange_weak(seen, place, std::memory_order_relaxed)) {
    }
  }
  int64_t get() const { return place_ == kNone ? -1 : place_.load(); }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> place_{kNone};
};

// Calls body(element, its index) for channels [begin, end) at each position of an image, in order.
template <class F>
void for_each_index(const UnpoolProblem& g, const int64_t* indices, int64_t image, int64_t begin,
                    int64_t end, First& wrong, const F& body) {
  for (int64_t row = image * g.input; row < (image + 1) * g.input; ++row) {
    for (int64_t i = row * g.block + begin; i < row * g.block + end; ++i) {
      const int64_t to = indices[i];
      if (to < 0 || to >= g.output)
        wrong.lower(i);
      else
        body(i, (image * g.output + to) * g.block + (i - row * g.block));
    }
  }
}

// Calls body(image, first channel, behind the last one) over all planes.
template <class F>
void for_each_plane(const UnpoolProblem& g, const ParallelFor& parallel, const F& body) {
  const int64_t chunks = (g.block + kChannels - 1) / kChannels;
  const int64_t elements = g.images * g.block * std::max(g.input, g.output);
  pool_parallel(g.images * chunks, elements, parallel, [&](int64_t from, int64_t to) {
    for (int64_t task = from; task < to; ++task) {
      const int64_t begin = task % chunks * kChannels;
      body(task / chunks, begin, std::min(begin + kChannels, g.block));
    }
  });
}

// Values are copied, so only their size matters.
template <class Bits>
int64_t unpool(const UnpoolProblem& g, const void* x, const int64_t* indices, void* y,
               const ParallelFor& parallel) {
  const auto* const from = static_cast<const Bits*>(x);
  auto* const to = static_cast<Bits*>(y);
  First wrong;
  for_each_plane(g, parallel, [&](int64_t image, int64_t begin, int64_t end) {
    Bits* const plane = to + image * g.output * g.block;
    if (end - begin == g.block) {
      std::fill(plane, plane + g.output * g.block, Bits(0));
    } else {
      for (int64_t row = 0; row < g.output; ++row)
        std::fill(plane + row * g.block + begin, plane + row * g.block + end, Bits(0));
    }
    for_each_index(g, indices, image, begin, end, wrong,
                   [&](int64_t i, int64_t place) { to[place] = from[i]; });
  });
  return wrong.get();
}

template <class Bits>
int64_t gather(const UnpoolProblem& g, const void* dy, const int64_t* indices, void* dx,
               const ParallelFor& parallel) {
  const auto* const from = static_cast<const Bits*>(dy);
  auto* const to = static_cast<Bits*>(dx);
  First wrong;
  for_each_plane(g, parallel, [&](int64_t image, int64_t begin, int64_t end) {
    for_each_index(g, indices, image, begin, end, wrong,
                   [&](int64_t i, int64_t place) { to[i] = from[place]; });
  });
  return wrong.get();
}

}  // namespace

int64_t max_unpool(const UnpoolProblem& problem, const void* x, const int64_t* indices, void* y,
                   const ParallelFor& parallel) {
  switch (size_of(problem.dtype)) {
    case 2:
      return unpool<uint16_t>(problem, x, indices, y, parallel);
    case 4:
      return unpool<uint32_t>(problem, x, indices, y, parallel);
    default:
      return unpool<uint64_t>(problem, x, indices, y, parallel);
  }
}

int64_t max_unpool_grad(const UnpoolProblem& problem, const void* dy, const int64_t* indices,
                        void* dx, const ParallelFor& parallel) {
  switch (size_of(problem.dtype)) {
    case 2:
      return gather<uint16_t>(problem, dy, indices, dx, parallel);
    case 4:
      return gather<uint32_t>(problem, dy, indices, dx, parallel);
    default:
      return gather<uint64_t>(problem, dy, indices, dx, parallel);
  }
}

}  // namespace cnnkern::cpu
