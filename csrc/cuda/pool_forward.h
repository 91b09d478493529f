// SPDX-License-Identifier: BSD-3-Clause
// y = all taps of each window, joined by a rule: for the maximum and for the average.
//   pool_boxes_kernel   a thread a position and V neighbouring elements at it: channels_last, where
//                       V elements are 16 bytes, and with V = 1 whatever the others leave
//   pool_slabs_kernel   contiguous: a range of memory comes to shared memory, a range goes back
//   pool_slices_kernel  several threads a window: global and other large pools
// A rule has State, start(state, first tap), take(state, value, tap), flush(state) after at most
// kMostTerms, merge(state, other), and result(state, divisor); Ordered is the same rule, able to
// merge what slices found in any order.
#pragma once
#include "../problem/text.h"
#include "pool_copy.h"
#include "pool_part.h"

namespace cnnkern::cuda {

// What the outputs of a column share.
template <class Axis>
struct Column {
  using Index = typename Axis::Index;
  Taps<Index> taps;
  Index counted;

  __device__ Column(const Pool<Axis>& g, Index x)
      : taps(g.axis[2].taps(x)), counted(g.axis[2].counted(x)) {}
};

// The window of one output along its three axes.
template <class Axis>
struct Window {
  using Index = typename Axis::Index;
  Taps<Index> d, h, w;
  Index divisor;

  __device__ Window(const Pool<Axis>& g, Index z, Index y, const Column<Axis>& column)
      : d(g.axis[0].taps(z)), h(g.axis[1].taps(y)), w(column.taps), divisor(g.divisor) {
    if (divisor == 0) divisor = g.axis[0].counted(z) * g.axis[1].counted(y) * column.counted;
  }
  // Of row (t, r) of its taps: the first one's position in the input plane, and its number.
  __device__ Index position(const Pool<Axis>& g, Index t, Index r) const {
    return ((d.at + t * g.axis[0].step()) * g.axis[1].input + h.at + r * g.axis[1].step()) *
               g.axis[2].input +
           w.at;
  }
  __device__ int32_t tap(const Pool<Axis>& g, Index t, Index r) const {
    return int32_t(((d.first + t) * g.axis[1].kernel + h.first + r) * g.axis[2].kernel + w.first);
  }
  __device__ int32_t first_tap(const Pool<Axis>& g) const {
    return d.count > 0 && h.count > 0 && w.count > 0 ? tap(g, 0, 0) : 0;
  }
};

// Joins V neighbouring elements at each tap; element 0 of the plane lies at x[origin].
template <class Rule, int V, class Axis, class Index = typename Axis::Index>
__device__ void join_window(const Pool<Axis>& g, const Window<Axis>& window,
                            const typename Rule::T* x, Index origin,
                            typename Rule::State (&state)[V]) {
  constexpr int kAhead = 3;  // loads in flight
  const int32_t first = window.first_tap(g);
  for (int v = 0; v < V; ++v) Rule::start(state[v], first);
  const Index step = g.axis[2].step() * g.block;
  int terms = 0;
#pragma unroll 1
  for (Index t = 0; t < window.d.count; ++t) {
#pragma unroll 1
    for (Index r = 0; r < window.h.count; ++r) {
      Index from = origin + window.position(g, t, r) * g.block;
      int32_t tap = window.tap(g, t, r);
#pragma unroll 1
      for (Index s = 0; s < window.w.count; s += kAhead) {
        Vector<typename Rule::T, V> values[kAhead];
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          if (s + i < window.w.count) values[i] = load<V>(x + from + i * step);
        }
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          if (s + i < window.w.count) {
            for (int v = 0; v < V; ++v) Rule::take(state[v], widen(values[i].value[v]), tap + i);
          }
        }
        from += kAhead * step;
        tap += kAhead;
        terms += kAhead;
        if (terms > kMostTerms - kAhead) {
          for (int v = 0; v < V; ++v) Rule::flush(state[v]);
          terms = 0;
        }
      }
    }
  }
}

template <class Rule, int V, class Index>
__device__ void store_results(const typename Rule::State (&state)[V], Index divisor,
                              typename Rule::T* y, void* argmax, int argmax_bytes, Index i) {
  using T = typename Rule::T;
  Vector<T, V> values;
  for (int v = 0; v < V; ++v) values.value[v] = narrow<T>(Rule::result(state[v], divisor));
  store<V>(y + i, values);
  if constexpr (Rule::kArgmax) {
    if (argmax == nullptr) return;
    int32_t taps[V];
    for (int v = 0; v < V; ++v) taps[v] = state[v].tap;
    store_taps<V>(argmax, argmax_bytes, i, taps);
  }
}

template <class Rule, int V, class Axis>
__global__ void __launch_bounds__(256, 2)
    pool_boxes_kernel(Pool<Axis> g, Boxes<typename Axis::Index> boxes, const typename Rule::T* x,
                      typename Rule::T* y, void* argmax, int argmax_bytes) {
  using Index = typename Axis::Index;
  const BoxPositions<Index> at(boxes, V);
  if (at.channel >= g.block) return;
#pragma unroll 1
  for (Index q = at.column; q < boxes.size[3]; q += boxes.columns.d) {
    const Index w = at.box_w + q;
    if (w >= boxes.extent[3]) return;
    const Column<Axis> column(g, w);
#pragma unroll 1
    for (Index row = at.row; row < boxes.rows; row += boxes.row_slots) {
      Index n, d, h;
      if (!at.find(boxes, row, n, d, h)) continue;
      const Window<Axis> window(g, d, h, column);
      typename Rule::State state[V];
      join_window<Rule, V>(g, window, x, n * g.input_plane() * g.block + at.channel, state);
      store_results<Rule, V>(state, window.divisor, y, argmax, argmax_bytes,
                             at.flat(boxes, n, d, h, w) * g.block + at.channel);
    }
  }
}

template <class Rule, class Axis>
__global__ void __launch_bounds__(256, 2)
    pool_slabs_kernel(Pool<Axis> g, Slabs<typename Axis::Index> slabs, const typename Rule::T* x,
                      typename Rule::T* y, void* argmax, int argmax_bytes, bool wide) {
  using T = typename Rule::T;
  using Index = typename Axis::Index;
  CK_SMEM(smem);
  T* const inputs = reinterpret_cast<T*>(smem);
  T* const outputs = reinterpret_cast<T*>(smem + slabs.second);
  // Two threads may not write one byte each of two neighbours, hence 16 bits for a tap's 8.
  uint16_t* const taps = reinterpret_cast<uint16_t*>(smem + slabs.third);
  int32_t* const wide_taps = reinterpret_cast<int32_t*>(smem + slabs.third);
  const Part<Index> part(g, slabs,
                         [](const Axis& axis, Index begin, Index end, Index& from, Index& to) {
                           from = axis.begin(begin);
                           to = axis.end(end - 1);
                         });
  copy_in(inputs, x, part.read_begin, part.read_end, slabs.read_total, wide);
  __syncthreads();
  const Index first = floor_16<T>(part.read_begin);
  Index column_at = Index(threadIdx.x);
  const Index row_at = split(column_at, slabs.columns);
  // The last threads may make no whole row.
  const Index row_end = row_at < slabs.row_slots ? part.row_end : 0;
#pragma unroll 1
  for (Index q = part.width_begin + column_at; q < part.width_end; q += slabs.columns.d) {
    const Column<Axis> column(g, q);
#pragma unroll 1
    for (Index row = part.row_begin + row_at; row < row_end; row += slabs.row_slots) {
      Index p = row, z = split(p, slabs.height);
      const Index image = split(z, slabs.depth);
      const Window<Axis> window(g, z, p, column);
      typename Rule::State state[1];
      join_window<Rule, 1>(g, window, inputs, image * slabs.read_plane - first, state);
      const Index i = row * slabs.width + q - part.written_begin;
      outputs[i + shift<T>(part)] = narrow<T>(Rule::result(state[0], window.divisor));
      if constexpr (Rule::kArgmax) {
        if (argmax_bytes == 1) {
          taps[i + shift<uint8_t>(part)] = uint16_t(state[0].tap);
        } else {
          wide_taps[i + shift<int32_t>(part)] = state[0].tap;
        }
      }
    }
  }
  __syncthreads();
  copy_out(y, outputs, part.written_begin, part.written_end, wide);
  if constexpr (Rule::kArgmax) {
    if (argmax_bytes == 1) {
      copy_out(static_cast<uint8_t*>(argmax), taps, part.written_begin, part.written_end, wide);
    } else {
      copy_out(static_cast<int32_t*>(argmax), wide_taps, part.written_begin, part.written_end,
               wide);
    }
  }
}

// Threads of a block: groups x slices x lanes. kAlong: V neighbours are taps of one window, which
// lies in one or some runs of memory; else they are elements of one position.
template <class Rule, bool kAlong, class Axis>
__global__ void __launch_bounds__(256, 2)
    pool_slices_kernel(Pool<Axis> g, Slices<typename Axis::Index> s, const typename Rule::T* x,
                       typename Rule::T* y, void* argmax, int argmax_bytes) {
  using T = typename Rule::T;
  using Index = typename Axis::Index;
  using State = typename Rule::State;
  constexpr int V = kLanes<T>, kStates = kAlong ? 1 : V;
  CK_SMEM(smem);
  State* const states = reinterpret_cast<State*>(smem);
  Index lane = Index(threadIdx.x), chunk = Index(blockIdx.x);
  const Index block = split(chunk, s.chunks);
  Index slice = split(lane, s.lanes);
  const Index group = split(slice, s.slices), output = block * s.groups + group;
  const Index channel = (chunk * s.lanes.d + lane) * (kAlong ? 1 : V);
  const bool active = group < s.groups && output < s.windows && channel < g.block;

  State state[V];
  for (int v = 0; v < V; ++v) Rule::start(state[v], 0);
  Index divisor = 1;
  if (active) {
    Index q = output, p = split(q, s.width), z = split(p, s.height);
    const Index origin = split(z, s.depth) * g.input_plane() * g.block + channel;
    const Window<Axis> window(g, z, p, Column<Axis>(g, q));
    divisor = window.divisor;
    const int32_t first = window.first_tap(g);
    for (int v = 0; v < V; ++v) Rule::start(state[v], first);
    const Index heights = window.h.count, count = window.w.count;
    // Of a run of taps all aligned vectors that hold some, of which the first may begin before it.
    const Index pieces = kAlong ? (count + V - 1) / V + 1 : count;
    const Index steps = count > 0 ? window.d.count * heights * pieces : 0;
    const Index total = g.images * g.input_plane();
    int terms = 0;
#pragma unroll 1
    for (Index i = slice; i < steps; i += s.slices.d) {
      const Index row = i < pieces ? 0 : i / pieces, piece = i - row * pieces;
      const Index t = row < heights ? 0 : row / heights, r = row - t * heights;
      const Index position = window.position(g, t, r);
      const int32_t tap = window.tap(g, t, r);
      if constexpr (kAlong) {
        const Index begin = origin + position, at = floor_16<T>(begin) + piece * V;
        if (at >= begin + count) continue;
        Vector<T, V> values;
        if (at + V <= total) {
          values = load<V>(x + at);
        } else {
          for (int v = 0; v < V; ++v) values.value[v] = x[smaller(at + v, total - 1)];
        }
        for (int v = 0; v < V; ++v) {
          const Index s_at = at + v - begin;
          if (s_at >= 0 && s_at < count)
            Rule::take(state[v], widen(values.value[v]), tap + int32_t(s_at));
        }
      } else {
        const auto values = load<V>(x + origin + (position + piece * g.axis[2].step()) * g.block);
        for (int v = 0; v < V; ++v)
          Rule::take(state[v], widen(values.value[v]), tap + int32_t(piece));
      }
      if (++terms == kMostTerms) {
        for (int v = 0; v < V; ++v) Rule::flush(state[v]);
        terms = 0;
      }
    }
  }
  if constexpr (kAlong) {
    for (int v = 1; v < V; ++v) Rule::merge(state[0], state[v]);
  }
  // A tree over the slices.
  State* const mine = states + Index(threadIdx.x) * kStates;
  for (Index step = s.slices.d / 2; step > 0; step /= 2) {
    if (slice < 2 * step) {
      for (int v = 0; v < kStates; ++v) mine[v] = state[v];
    }
    __syncthreads();
    if (slice < step) {
      const State* const other = mine + step * s.lanes.d * kStates;
      for (int v = 0; v < kStates; ++v) Rule::merge(state[v], other[v]);
    }
  }
  if (!active || slice != 0) return;
  State results[kStates];
  for (int v = 0; v < kStates; ++v) results[v] = state[v];
  store_results<Rule, kStates>(results, divisor, y, argmax, argmax_bytes,
                               output * g.block + channel);
}

template <class Rule, int V, class Axis>
void launch_boxes(const PoolProblem& problem, const void* x, void* y, void* argmax, Stream stream) {
  using T = typename Rule::T;
  const Pool<Axis> g = make_pool<Axis>(problem);
  const int argmax_bytes = int(argmax_size(problem));
  const Halo<Axis> halo{g, true, sizeof(T), sizeof(T) + (argmax ? double(argmax_bytes) : 0)};
  const auto boxes = choose_boxes(halo, g.block / V, V * sizeof(T));
  const int64_t grid = checked_grid(op_of(problem).c_str(), boxes.blocks);
  launch(pool_boxes_kernel<Rule, V, Axis>, dim3(unsigned(grid)), dim3(unsigned(boxes.threads())), 0,
         stream, g, boxes, static_cast<const T*>(x), static_cast<T*>(y), argmax, argmax_bytes);
}

template <class Rule, bool kAlong, class Axis>
void launch_slices(const PoolProblem& problem, const void* x, void* y, void* argmax,
                   Stream stream) {
  using T = typename Rule::T;
  constexpr int V = kLanes<T>;
  const Pool<Axis> g = make_pool<Axis>(problem);
  const Axis &d = g.axis[0], &h = g.axis[1], &w = g.axis[2];
  const int64_t rows = int64_t(smaller(d.kernel, d.input)) * smaller(h.kernel, h.input);
  const int64_t taps = smaller(w.kernel, w.input);
  const auto slices =
      choose_slices(g, kAlong ? 1 : g.block / V, rows * (kAlong ? ceil_div(taps, V) + 1 : taps));
  const unsigned threads = unsigned(slices.groups * slices.slices.d * slices.lanes.d);
  const int64_t grid = checked_grid(op_of(problem).c_str(), slices.blocks);
  launch(pool_slices_kernel<Rule, kAlong, Axis>, dim3(unsigned(grid)), dim3(threads),
         threads * sizeof(typename Rule::State) * (kAlong ? 1 : V), stream, g, slices,
         static_cast<const T*>(x), static_cast<T*>(y), argmax, int(argmax_size(problem)));
}

template <class Rule, template <class> class Windows>
void pool_forward_of(const PoolProblem& problem, const void* x, void* y, void* argmax,
                     Stream stream) {
  using T = typename Rule::T;
  using Axis = Windows<int32_t>;
  constexpr int V = kLanes<T>;
  constexpr int64_t kTapsAcross = 32, kTapsAlong = 96;
  if (!fits_int32(problem))
    return launch_boxes<typename Rule::Ordered, 1, Windows<int64_t>>(problem, x, y, argmax, stream);
  const Pool<Axis> g = make_pool<Axis>(problem);
  const bool wide = is_aligned(x, 16) && is_aligned(y, 16) && is_aligned(argmax, 16);
  const bool vectors = wide && g.block % V == 0;
  if (vectors && is_sliced(g, kTapsAcross))
    return launch_slices<typename Rule::Ordered, false, Axis>(problem, x, y, argmax, stream);
  if (vectors) return launch_boxes<Rule, V, Axis>(problem, x, y, argmax, stream);
  if (g.block == 1) {
    if (wide && g.axis[2].step() == 1 && is_sliced(g, kTapsAlong))
      return launch_slices<typename Rule::Ordered, true, Axis>(problem, x, y, argmax, stream);
    const double argmax_bytes = Rule::kArgmax ? double(argmax_size(problem)) : 0;
    const Halo<Axis> halo{g, true, sizeof(T), sizeof(T) + argmax_bytes};
    const auto slabs =
        choose_slabs(halo, sizeof(T), 0, Rule::kArgmax ? 2 * argmax_size(problem) : 0);
    if (slabs.fits) {
      const int64_t grid = checked_grid(op_of(problem).c_str(), slabs.blocks);
      launch(pool_slabs_kernel<Rule, Axis>, dim3(unsigned(grid)), dim3(Slabs<int32_t>::kThreads),
             size_t(slabs.smem_bytes), stream, g, slabs, static_cast<const T*>(x),
             static_cast<T*>(y), argmax, int(argmax_size(problem)), wide);
      return;
    }
  }
  launch_boxes<typename Rule::Ordered, 1, Axis>(problem, x, y, argmax, stream);
}

template <class Rule>
void pool_forward(const PoolProblem& problem, const void* x, void* y, void* argmax, Stream stream) {
  const auto run = is_uneven(problem) ? pool_forward_of<Rule, UnevenWindow>
                                      : pool_forward_of<Rule, SlidingWindow>;
  run(problem, x, y, argmax, stream);
}

}  // namespace cnnkern::cuda
