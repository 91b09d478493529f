// SPDX-License-Identifier: BSD-3-Clause
// Allocation of results, and how the torch-free drivers see tensors and threads.
#pragma once
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <atomic>
#include <new>

#include "../cpu/huge_pages.h"
#include "../cpu/parallel.h"

namespace cnnkern::ops {

inline at::Tensor allocate(at::IntArrayRef size, const at::TensorOptions& options,
                           at::MemoryFormat format) {
  at::Tensor y = at::empty(size, options.memory_format(format));
  cpu::ask_for_huge_pages(y.mutable_data_ptr(), y.nbytes());
  return y;
}

// Leading spatial axes that a tensor of lower rank lacks have size 1: their stride is never used.
inline cpu::View view_of(const at::Tensor& t, Border border = Border::zeros) {
  cpu::View view{
      const_cast<void*>(t.const_data_ptr()), {t.stride(0), t.stride(1), 0, 0, 0}, border};
  for (int64_t axis = 2; axis < t.dim(); ++axis) view.stride[5 - t.dim() + axis] = t.stride(axis);
  return view;
}

// A forked child has none of its parent's OpenMP workers, and would wait for them forever.
inline std::atomic<bool> forked{false};
#if !defined(_WIN32)
inline const int watching_forks = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

inline void parallel(int64_t tasks, const cpu::Body& body) {
  if (forked.load(std::memory_order_relaxed)) {
    if (tasks > 0) body(0, tasks);
    return;
  }
  at::parallel_for(0, tasks, /*grain_size=*/1, body);
}
inline const cpu::ParallelFor& parallel_for() {
  static const cpu::ParallelFor run = parallel;
  return run;
}

// Runs a driver; too little memory for its workspace becomes torch's own kind of error.
template <class F>
void run(const char* op, const F& driver) {
  try {
    driver();
  } catch (const std::bad_alloc&) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, op, ": not enough memory for the workspace");
  }
}

}  // namespace cnnkern::ops
