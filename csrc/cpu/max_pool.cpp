// SPDX-License-Identifier: BSD-3-Clause
#include "pool_drive.h"

#include <algorithm>
#include <limits>

namespace cnnkern::cpu {

namespace {

int64_t elements_of(const PoolProblem& problem, const Extent& extent) {
  return problem.n * problem.c * volume(extent);
}

// Where taps lie, relative to the first of their window; of bytes all 256 have a place, and what no
// window has lies far outside.
constexpr int64_t kNowhere = std::numeric_limits<int64_t>::min() / 2;
const int64_t* tap_offsets(const PoolShape& g, PoolScratch& scratch) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t taps = d.kernel * h.kernel * w.kernel, size = std::max<int64_t>(taps, 256);
  auto* const offsets =
      static_cast<int64_t*>(scratch.get(size * static_cast<int64_t>(sizeof(int64_t))));
  std::fill(offsets, offsets + size, kNowhere);
  int64_t* at = offsets;
  for (int64_t t = 0; t < d.kernel; ++t)
    for (int64_t r = 0; r < h.kernel; ++r)
      for (int64_t s = 0; s < w.kernel; ++s)
        *at++ = (t * d.dilation * h.input + r * h.dilation) * w.input + s * w.dilation;
  return offsets;
}

// As in pool_window.h, which is not for this side of the table.
int64_t begin_of(const PoolAxis& a, int64_t output) {
  return a.uneven ? output * a.input / a.output : output * a.stride - a.pad_before;
}
bool lies_inside(const PoolAxis& a, int64_t at) { return at >= 0 && at < a.input; }
// Whether all taps of the window that begins at `at` lie inside the input.
bool window_inside(const PoolAxis& a, int64_t at) {
  return at >= 0 && at + (a.kernel - 1) * a.dilation < a.input;
}

// Calls body(output element, image, position in the input plane or -1, channel) for each output of
// rows [begin, end). -1: the argmax names no element of the input, as in a window that holds none.
template <class I, class F>
void for_each_argmax(const PoolShape& g, const I* argmax, int64_t begin, int64_t end,
                     const F& body) {
  const PoolAxis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const auto taps = static_cast<uint32_t>(d.kernel * h.kernel * w.kernel);
  PoolScratch scratch;
  const int64_t* const offsets = tap_offsets(g, scratch);
  const auto tap_of = [&](int64_t i) { return static_cast<uint32_t>(argmax[i]); };
  for (int64_t row = begin; row < end; ++row) {
    const int64_t image = row / h.output / d.output;
    const int64_t z0 = begin_of(d, row / h.output % d.output);
    const int64_t y0 = begin_of(h, row % h.output);
    const bool row_inside = window_inside(d, z0) && window_inside(h, y0);
    for (int64_t q = 0; q < w.output; ++q) {
      const int64_t x0 = begin_of(w, q), first = (row * w.output + q) * g.block;
      const int64_t base = (z0 * h.input + y0) * w.input + x0;
      if (row_inside && window_inside(w, x0)) {
        for (int64_t c = 0; c < g.block; ++c) {
          const uint32_t tap = tap_of(first + c);
          const bool known = sizeof(I) == 1 || tap < taps;
          body(first + c, image, std::max<int64_t>(known ? base + offsets[tap] : -1, -1), c);
        }
        continue;
      }
      for (int64_t c = 0; c < g.block; ++c) {
        const int64_t tap = tap_of(first + c), rest = tap / w.kernel;
        const bool within = tap < taps && lies_inside(d, z0 + rest / h.kernel * d.dilation) &&
                            lies_inside(h, y0 + rest % h.kernel * h.dilation) &&
                            lies_inside(w, x0 + tap % w.kernel * w.dilation);
        body(first + c, image, within ? base + offsets[tap] : -1, c);
      }
    }
  }
}

template <class F>
void with_argmax(const PoolProblem& problem, const void* argmax, const ParallelFor& parallel,
                 const F& body) {
  if (problem.c == 0) return;
  const PoolShape g = pool_shape(problem);
  const int64_t tasks = g.images * problem.output[0] * problem.output[1];
  pool_parallel(tasks, elements_of(problem, problem.output), parallel,
                [&](int64_t begin, int64_t end) {
                  const auto each = [&](int64_t i, int64_t image, int64_t position, int64_t c) {
                    body(g, i, image, position, c);
                  };
                  if (argmax_size(problem) == 1)
                    for_each_argmax(g, static_cast<const uint8_t*>(argmax), begin, end, each);
                  else
                    for_each_argmax(g, static_cast<const int32_t*>(argmax), begin, end, each);
                });
}

// Values are copied, so only their size matters.
template <class Bits>
void gather(const PoolProblem& problem, const void* x, const void* argmax, void* y,
            const ParallelFor& parallel) {
  const int64_t plane = volume(problem.input);
  with_argmax(problem, argmax, parallel,
              [&](const PoolShape& g, int64_t i, int64_t image, int64_t position, int64_t c) {
                const int64_t from = (image * plane + position) * g.block + c;
                static_cast<Bits*>(y)[i] = position < 0 ? 0 : static_cast<const Bits*>(x)[from];
              });
}

}  // namespace

void max_pool(const PoolProblem& problem, const void* x, void* y, void* argmax,
              const ParallelFor& parallel) {
  if (problem.c == 0) return;
  const PoolShape shape = pool_shape(problem);
  const PoolKernels& table = *kernels().pool;
  const int type = static_cast<int>(problem.dtype);
  const auto values = table.max[type];
  const auto both = table.max_argmax[type][argmax_size(problem) == 1 ? 0 : 1];
  pool_parallel(shape.images * problem.output[0] * problem.output[1],
                elements_of(problem, problem.input), parallel, [&](int64_t begin, int64_t end) {
                  PoolScratch scratch;
                  if (argmax == nullptr)
                    values(shape, x, y, scratch, begin, end);
                  else
                    both(shape, x, y, argmax, scratch, begin, end);
                });
}

void max_pool_grad(const PoolProblem& problem, const void* dy, const void* argmax, void* dx,
                   const ParallelFor& parallel) {
  if (problem.c == 0) return;
  const PoolShape shape = pool_shape(problem);
  const auto kernel =
      kernels().pool->max_grad[static_cast<int>(problem.dtype)][argmax_size(problem) == 1 ? 0 : 1];
  pool_parallel(shape.images * problem.input[0] * problem.input[1],
                elements_of(problem, problem.input), parallel, [&](int64_t begin, int64_t end) {
                  PoolScratch scratch;
                  kernel(shape, dy, argmax, dx, scratch, begin, end);
                });
}

void max_pool_gather(const PoolProblem& problem, const void* x, const void* argmax, void* y,
                     const ParallelFor& parallel) {
  switch (size_of(problem.dtype)) {
    case 2:
      return gather<uint16_t>(problem, x, argmax, y, parallel);
    case 4:
      return gather<uint32_t>(problem, x, argmax, y, parallel);
    default:
      return gather<uint64_t>(problem, x, argmax, y, parallel);
  }
}

void max_pool_indices(const PoolProblem& problem, const void* argmax, int64_t* indices,
                      const ParallelFor& parallel) {
  with_argmax(problem, argmax, parallel,
              [&](const PoolShape&, int64_t i, int64_t, int64_t position, int64_t) {
                indices[i] = position < 0 ? 0 : position;
              });
}

}  // namespace cnnkern::cpu
