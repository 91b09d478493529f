// SPDX-License-Identifier: BSD-3-Clause
// dx[i] = the sum of dy over the windows that cover i, in ascending order of windows: of those
// whose argmax is i, or each over its divisor. Every element of dx is written once, so there is
// nothing to add up between threads.
//   pool_grad_boxes_kernel   a thread a position and V neighbouring elements at it
//   pool_grad_slabs_kernel   contiguous: ranges of dy and argmax come to shared memory, one of dx
//                            goes back
#pragma once
#include "../problem/text.h"
#include "pool_copy.h"
#include "pool_part.h"

namespace cnnkern::cuda {

template <class Element, bool kWithArgmax>
struct Gradient {
  using T = Element;
  static constexpr bool kArgmax = kWithArgmax;  // else an average's
};

// Where the gradients of a plane's windows begin, and the taps that they go to.
template <class T, class Index>
struct Gradients {
  const T* dy;
  const void* argmax;
  int argmax_bytes;
  Index dy_origin, argmax_origin;
};

template <class Rule, int V, class Axis, class Index = typename Axis::Index>
__device__ void sum_windows(const Pool<Axis>& g,
                            const Gradients<typename Rule::T, Index>& gradients, Index z, Index y,
                            const Cover<Index>& widths, Compute<typename Rule::T> (&total)[V]) {
  using A = Compute<typename Rule::T>;
  const Axis &depth = g.axis[0], &height = g.axis[1], &width = g.axis[2];
  const Cover<Index> heights = height.cover(y);
  A sum[V];
  for (int v = 0; v < V; ++v) total[v] = sum[v] = 0;
  // Windows that have the same divisor are divided together.
  Index divisor = larger<Index>(g.divisor, 1);
  int terms = 0;
  const auto flush = [&] {
    for (int v = 0; v < V; ++v) {
      total[v] += Rule::kArgmax ? sum[v] : sum[v] / A(divisor);
      sum[v] = 0;
    }
    terms = 0;
  };
#pragma unroll 1
  for (Cover<Index> d = depth.cover(z); d.count > 0; depth.advance(d)) {
#pragma unroll 1
    for (Cover<Index> h = heights; h.count > 0; height.advance(h)) {
      const Index row = (d.window * height.output + h.window) * width.output;
      const Index tap = (d.tap * height.kernel + h.tap) * width.kernel;
      const Index counted =
          Rule::kArgmax || g.divisor != 0 ? 1 : depth.counted(d.window) * height.counted(h.window);
#pragma unroll 1
      for (Cover<Index> w = widths; w.count > 0; width.advance(w)) {
        const Index at = (row + w.window) * g.block;
        const auto values = load<V>(gradients.dy + gradients.dy_origin + at);
        if constexpr (Rule::kArgmax) {
          int32_t taps[V];
          load_taps<V>(gradients.argmax, gradients.argmax_bytes, gradients.argmax_origin + at,
                       taps);
          for (int v = 0; v < V; ++v)
            sum[v] = taps[v] == int32_t(tap + w.tap) ? sum[v] + widen(values.value[v]) : sum[v];
        } else {
          const Index own = g.divisor != 0 ? g.divisor : counted * width.counted(w.window);
          if (own != divisor) {
            flush();
            divisor = own;
          }
          for (int v = 0; v < V; ++v) sum[v] += widen(values.value[v]);
        }
        if (++terms == kMostTerms) flush();
      }
    }
  }
  flush();
}

template <class Rule, int V, class Axis>
__global__ void __launch_bounds__(256, 2)
    pool_grad_boxes_kernel(Pool<Axis> g, Boxes<typename Axis::Index> boxes,
                           const typename Rule::T* dy, const void* argmax, int argmax_bytes,
                           typename Rule::T* dx) {
  using T = typename Rule::T;
  using Index = typename Axis::Index;
  const BoxPositions<Index> at(boxes, V);
  if (at.channel >= g.block) return;
#pragma unroll 1
  for (Index q = at.column; q < boxes.size[3]; q += boxes.columns.d) {
    const Index w = at.box_w + q;
    if (w >= boxes.extent[3]) return;
    const Cover<Index> column = g.axis[2].cover(w);
#pragma unroll 1
    for (Index row = at.row; row < boxes.rows; row += boxes.row_slots) {
      Index n, d, h;
      if (!at.find(boxes, row, n, d, h)) continue;
      const Index origin = n * g.output_plane() * g.block + at.channel;
      const Gradients<T, Index> gradients{dy, argmax, argmax_bytes, origin, origin};
      Compute<T> total[V];
      sum_windows<Rule, V>(g, gradients, d, h, column, total);
      Vector<T, V> values;
      for (int v = 0; v < V; ++v) values.value[v] = narrow<T>(total[v]);
      store<V>(dx + at.flat(boxes, n, d, h, w) * g.block + at.channel, values);
    }
  }
}

template <class Rule, class Axis>
__global__ void __launch_bounds__(256, 2)
    pool_grad_slabs_kernel(Pool<Axis> g, Slabs<typename Axis::Index> slabs,
                           const typename Rule::T* dy, const void* argmax, int argmax_bytes,
                           typename Rule::T* dx, bool wide) {
  using T = typename Rule::T;
  using Index = typename Axis::Index;
  CK_SMEM(smem);
  T* const staged_dy = reinterpret_cast<T*>(smem);
  unsigned char* const staged_argmax = smem + slabs.second;
  T* const staged_dx = reinterpret_cast<T*>(smem + slabs.third);
  const Part<Index> part(g, slabs,
                         [](const Axis& axis, Index begin, Index end, Index& from, Index& to) {
                           from = axis.windows_begin(begin);
                           to = axis.windows_end(end - 1);
                         });
  const Index begin = part.read_begin, end = part.read_end, total = slabs.read_total;
  copy_in(staged_dy, dy, begin, end, total, wide);
  if constexpr (Rule::kArgmax) {
    if (argmax_bytes == 1) {
      copy_in(staged_argmax, static_cast<const uint8_t*>(argmax), begin, end, total, wide);
    } else {
      copy_in(reinterpret_cast<int32_t*>(staged_argmax), static_cast<const int32_t*>(argmax), begin,
              end, total, wide);
    }
  }
  __syncthreads();
  const Index first = floor_16<T>(begin);
  const Index first_argmax =
      argmax_bytes == 1 ? floor_16<uint8_t>(begin) : floor_16<int32_t>(begin);
  Gradients<T, Index> gradients{staged_dy, staged_argmax, argmax_bytes, 0, 0};
  Index column_at = Index(threadIdx.x);
  const Index row_at = split(column_at, slabs.columns);
  // The last threads may make no whole row.
  const Index row_end = row_at < slabs.row_slots ? part.row_end : 0;
#pragma unroll 1
  for (Index q = part.width_begin + column_at; q < part.width_end; q += slabs.columns.d) {
    const Cover<Index> column = g.axis[2].cover(q);
#pragma unroll 1
    for (Index row = part.row_begin + row_at; row < row_end; row += slabs.row_slots) {
      Index y = row, z = split(y, slabs.height);
      const Index origin = split(z, slabs.depth) * slabs.read_plane;
      gradients.dy_origin = origin - first;
      gradients.argmax_origin = origin - first_argmax;
      Compute<T> sum[1];
      sum_windows<Rule, 1>(g, gradients, z, y, column, sum);
      staged_dx[row * slabs.width + q - part.written_begin + shift<T>(part)] = narrow<T>(sum[0]);
    }
  }
  __syncthreads();
  copy_out(dx, staged_dx, part.written_begin, part.written_end, wide);
}

template <class Rule, int V, class Axis>
void launch_grad_boxes(const PoolProblem& problem, const void* dy, const void* argmax, void* dx,
                       Stream stream) {
  using T = typename Rule::T;
  const Pool<Axis> g = make_pool<Axis>(problem);
  const int argmax_bytes = int(argmax_size(problem));
  const Halo<Axis> halo{g, false, sizeof(T) + (argmax ? double(argmax_bytes) : 0), sizeof(T)};
  const auto boxes = choose_boxes(halo, g.block / V, V * sizeof(T));
  const int64_t grid = checked_grid(op_of(problem).c_str(), boxes.blocks);
  launch(pool_grad_boxes_kernel<Rule, V, Axis>, dim3(unsigned(grid)),
         dim3(unsigned(boxes.threads())), 0, stream, g, boxes, static_cast<const T*>(dy), argmax,
         argmax_bytes, static_cast<T*>(dx));
}

template <class Rule, template <class> class Windows>
void pool_backward_of(const PoolProblem& problem, const void* dy, const void* argmax, void* dx,
                      Stream stream) {
  using T = typename Rule::T;
  using Axis = Windows<int32_t>;
  constexpr int V = kLanes<T>;
  if (!fits_int32(problem))
    return launch_grad_boxes<Rule, 1, Windows<int64_t>>(problem, dy, argmax, dx, stream);
  const Pool<Axis> g = make_pool<Axis>(problem);
  const bool wide = is_aligned(dy, 16) && is_aligned(argmax, 16) && is_aligned(dx, 16);
  if (wide && g.block % V == 0)
    return launch_grad_boxes<Rule, V, Axis>(problem, dy, argmax, dx, stream);
  if (g.block == 1) {
    const int64_t argmax_bytes = Rule::kArgmax ? argmax_size(problem) : 0;
    const Halo<Axis> halo{g, false, double(sizeof(T)) + double(argmax_bytes), sizeof(T)};
    const auto slabs = choose_slabs(halo, sizeof(T), argmax_bytes, 0);
    if (slabs.fits) {
      const int64_t grid = checked_grid(op_of(problem).c_str(), slabs.blocks);
      launch(pool_grad_slabs_kernel<Rule, Axis>, dim3(unsigned(grid)),
             dim3(Slabs<int32_t>::kThreads), size_t(slabs.smem_bytes), stream, g, slabs,
             static_cast<const T*>(dy), argmax, int(argmax_bytes), static_cast<T*>(dx), wide);
      return;
    }
  }
  launch_grad_boxes<Rule, 1, Axis>(problem, dy, argmax, dx, stream);
}

template <class Rule>
void pool_backward(const PoolProblem& problem, const void* dy, const void* argmax, void* dx,
                   Stream stream) {
  const auto run = is_uneven(problem) ? pool_backward_of<Rule, UnevenWindow>
                                      : pool_backward_of<Rule, SlidingWindow>;
  run(problem, dy, argmax, dx, stream);
}

}  // namespace cnnkern::cuda
