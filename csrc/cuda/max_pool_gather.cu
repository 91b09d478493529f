// SPDX-License-Identifier: BSD-3-Clause
// What an argmax points at: elements of x, or their positions in the input plane. A thread an
// output, several after another; values are copied, so only their size matters.
#include "../problem/text.h"
#include "element.h"
#include "grid.h"
#include "launch.h"
#include "pool.h"
#include "pool_window.h"

namespace cnnkern::cuda {

namespace {

constexpr int kThreads = 256, kOutputs = 16;  // a block's, and each thread's

template <class Index>
struct Outputs {
  Divisor<Index> block, depth, height, width;  // of the output
  Divisor<Index> kernel_height, kernel_width;
  Index count;

  template <class Axis>
  explicit Outputs(const Pool<Axis>& g)
      : block(g.block),
        depth(g.axis[0].output),
        height(g.axis[1].output),
        width(g.axis[2].output),
        kernel_height(g.axis[1].kernel),
        kernel_width(g.axis[2].kernel),
        count(g.images * g.output_plane() * g.block) {}
};

// Where tap `tap` of the window (z, y, x) lies in the input plane; -1 where that is no tap of it or
// no element, as in a window that holds none.
template <class Axis, class Index = typename Axis::Index>
__device__ Index position_of(const Pool<Axis>& g, const Outputs<Index>& outputs, int32_t tap,
                             Index z, Index y, Index x) {
  if (tap < 0) return -1;
  Index s = tap, r = split(s, outputs.kernel_width), t = split(r, outputs.kernel_height);
  const Index d = g.axis[0].position(z, t), h = g.axis[1].position(y, r),
              w = g.axis[2].position(x, s);
  if (t >= g.axis[0].kernel || d < 0 || d >= g.axis[0].input || h < 0 || h >= g.axis[1].input ||
      w < 0 || w >= g.axis[2].input)
    return -1;
  return (d * g.axis[1].input + h) * g.axis[2].input + w;
}

template <class Axis, class Index, class F>
__device__ void for_each_argmax(const Pool<Axis>& g, const Outputs<Index>& outputs,
                                const void* argmax, int argmax_bytes, const F& body) {
  const Index begin = Index(blockIdx.x) * (kThreads * kOutputs) + Index(threadIdx.x);
#pragma unroll 1
  for (int k = 0; k < kOutputs; ++k) {
    const Index i = begin + k * kThreads;
    if (i >= outputs.count) return;
    Index c = i, x = split(c, outputs.block), y = split(x, outputs.width),
          z = split(y, outputs.height);
    const Index image = split(z, outputs.depth);
    const int32_t tap = argmax_bytes == 1 ? int32_t(static_cast<const uint8_t*>(argmax)[i])
                                          : static_cast<const int32_t*>(argmax)[i];
    body(i, image, position_of(g, outputs, tap, z, y, x), c);
  }
}

template <class Bits, class Axis, class Index = typename Axis::Index>
__global__ void __launch_bounds__(kThreads)
    max_pool_gather_kernel(Pool<Axis> g, Outputs<Index> outputs, const Bits* x, const void* argmax,
                           int argmax_bytes, Bits* y) {
  for_each_argmax(g, outputs, argmax, argmax_bytes,
                  [&](Index i, Index image, Index position, Index c) {
                    const Index from = (image * g.input_plane() + position) * g.block + c;
                    y[i] = position < 0 ? Bits(0) : x[from];
                  });
}

template <class Axis, class Index = typename Axis::Index>
__global__ void __launch_bounds__(kThreads)
    max_pool_indices_kernel(Pool<Axis> g, Outputs<Index> outputs, const void* argmax,
                            int argmax_bytes, int64_t* indices) {
  for_each_argmax(g, outputs, argmax, argmax_bytes, [&](Index i, Index, Index position, Index) {
    indices[i] = larger<Index>(position, 0);
  });
}

unsigned blocks_of(const PoolProblem& problem) {
  const int64_t blocks = ceil_div(output_elements(problem), kThreads * kOutputs);
  return unsigned(checked_grid(op_of(problem).c_str(), blocks));
}

// Calls f with the pool that the problem is to kernels.
template <class F>
void with_windows(const PoolProblem& problem, const F& f) {
  with_index(fits_int32(problem), [&](auto index) {
    using Index = decltype(index);
    is_uneven(problem) ? f(make_pool<UnevenWindow<Index>>(problem))
                       : f(make_pool<SlidingWindow<Index>>(problem));
  });
}

template <class Bits>
void gather(const PoolProblem& problem, const void* x, const void* argmax, void* y, Stream stream) {
  with_windows(problem, [&](auto g) {
    using Axis = typename decltype(g)::Axis;
    launch(max_pool_gather_kernel<Bits, Axis>, dim3(blocks_of(problem)), dim3(kThreads), 0, stream,
           g, Outputs<typename Axis::Index>(g), static_cast<const Bits*>(x), argmax,
           int(argmax_size(problem)), static_cast<Bits*>(y));
  });
}

}  // namespace

void max_pool_gather(const PoolProblem& problem, const void* x, const void* argmax, void* y,
                     Stream stream) {
  switch (size_of(problem.dtype)) {
    case 2:
      return gather<uint16_t>(problem, x, argmax, y, stream);
    case 4:
      return gather<uint32_t>(problem, x, argmax, y, stream);
    default:
      return gather<uint64_t>(problem, x, argmax, y, stream);
  }
}

void max_pool_indices(const PoolProblem& problem, const void* argmax, int64_t* indices,
                      Stream stream) {
  with_windows(problem, [&](auto g) {
    using Axis = typename decltype(g)::Axis;
    launch(max_pool_indices_kernel<Axis>, dim3(blocks_of(problem)), dim3(kThreads), 0, stream, g,
           Outputs<typename Axis::Index>(g), argmax, int(argmax_size(problem)), indices);
  });
}

}  // namespace cnnkern::cuda
