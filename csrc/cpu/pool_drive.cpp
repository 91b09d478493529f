// SPDX-License-Identifier: BSD-3-Clause
#include "pool_drive.h"

#include <cstdlib>
#include <memory>
#include <new>

namespace cnnkern::cpu {

namespace {

constexpr int64_t kAlignment = 64;
#if defined(__SANITIZE_ADDRESS__)
constexpr int64_t kKeptBytes = 0;  // each piece by itself, so that its ends are watched
#else
constexpr int64_t kKeptBytes = 512 * 1024;
#endif
constexpr int64_t kSmallWork = 32 * 1024;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<void, Free>;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

void* allocate(int64_t bytes) {
  void* const p = std::aligned_alloc(kAlignment, static_cast<size_t>(bytes));
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

// Pages of it that nobody writes cost nothing.
char* kept_buffer() {
  static thread_local Buffer buffer;
  if (buffer == nullptr) buffer.reset(allocate(kKeptBytes));
  return static_cast<char*>(buffer.get());
}

}  // namespace

void* PoolScratch::get(int64_t bytes) {
  bytes = aligned(bytes);
  if (used_ + bytes <= kKeptBytes) {
    void* const p = kept_buffer() + used_;
    used_ += bytes;
    return p;
  }
  char* const p = static_cast<char*>(allocate(kAlignment + bytes));
  heap_ = new (p) Piece{heap_};
  return p + kAlignment;
}

PoolScratch::~PoolScratch() {
  while (heap_ != nullptr) {
    Piece* const next = heap_->next;
    std::free(heap_);
    heap_ = next;
  }
}

PoolShape pool_shape(const PoolProblem& problem) {
  const bool planes = problem.format == Format::contiguous;
  PoolShape shape{};
  shape.images = planes ? problem.n * problem.c : problem.n;
  shape.block = planes ? 1 : problem.c;
  for (size_t i = 0; i < 3; ++i) {
    PoolAxis& axis = shape.axis[i];
    axis = {problem.input[i],      problem.output[i],    problem.kernel[i],   problem.stride[i],
            problem.pad_before[i], problem.pad_after[i], problem.dilation[i], problem.uneven[i]};
    // A single window has no stride, a single tap no dilation: 1 is the simplest case.
    if (axis.output == 1) axis.stride = 1;
    if (axis.kernel == 1) axis.dilation = 1;
  }
  shape.count_padding = problem.count_include_pad;
  shape.divisor = problem.divisor;
  return shape;
}

void pool_parallel(int64_t tasks, int64_t work, const ParallelFor& parallel, const Body& body) {
  if (tasks == 0) return;
  if (tasks == 1 || work < kSmallWork) return body(0, tasks);
  parallel(tasks, body);
}

}  // namespace cnnkern::cpu
