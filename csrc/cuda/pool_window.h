// SPDX-License-Identifier: BSD-3-Clause
// Which taps of a window lie inside the input, and which windows cover an input position, along one
// axis. Kernels ask only the functions of this type, so that windows of another kind are another
// type with the same ones.
#pragma once
#include <numeric>

#include "../problem/pool_problem.h"
#include "index.h"
#include "sizes.h"

namespace cnnkern::cuda {

// The taps of one window inside the input: the number of the first, where it lies, how many. Taps
// are step() apart.
template <class Index>
struct Taps {
  Index first, at, count;
};

// Windows that cover one position, in ascending order: the one to look at and the tap that meets
// the position, and how many are left.
template <class Index>
struct Cover {
  Index window, tap, count;
};

template <class I>
__host__ __device__ constexpr I smaller(I a, I b) {
  return a < b ? a : b;
}
template <class I>
__host__ __device__ constexpr I larger(I a, I b) {
  return a > b ? a : b;
}

// Tap r of window p lies at p * stride - pad + r * dilation.
template <class I>
struct SlidingWindow {
  using Index = I;
  Index input, output, kernel, stride, pad_before, pad_after, dilation;
  Index window_step, tap_step;  // between two windows that share taps, and between those taps
  bool count_padding;
  bool single;  // one position and one tap: an axis that the problem does not have
  Divisor<Index> by_stride, by_dilation, by_window_step;

  SlidingWindow() = default;
  SlidingWindow(const PoolProblem& g, size_t i)
      : input(Index(g.input[i])),
        output(Index(g.output[i])),
        kernel(Index(g.kernel[i])),
        // A single window has no stride, a single tap no dilation: 1 is the simplest case.
        stride(g.output[i] == 1 ? 1 : Index(g.stride[i])),
        pad_before(Index(g.pad_before[i])),
        pad_after(Index(g.pad_after[i])),
        dilation(g.kernel[i] == 1 ? 1 : Index(g.dilation[i])),
        window_step(dilation / std::gcd(stride, dilation)),
        tap_step(stride / std::gcd(stride, dilation)),
        count_padding(g.count_include_pad),
        single(g.input[i] == 1 && g.kernel[i] == 1),
        by_stride(stride),
        by_dilation(dilation),
        by_window_step(window_step) {}

  __host__ __device__ Index step() const { return dilation; }
  __host__ __device__ Index reach() const { return (kernel - 1) * dilation; }
  __host__ __device__ Index position(Index p, Index tap) const {
    return p * stride - pad_before + tap * dilation;
  }
  __host__ __device__ Taps<Index> taps(Index p) const {
    if (single) return {0, 0, 1};
    const Index at = p * stride - pad_before;
    Index first = larger<Index>(-at, 0), end = larger<Index>(input - at, 0);
    if (dilation != 1) {
      first = by_dilation.divide(first + dilation - 1);
      end = by_dilation.divide(end + dilation - 1);
    }
    return {first, at + first * dilation, larger<Index>(smaller(end, kernel) - first, 0)};
  }
  // The input positions between which all taps of window p lie. Both ascend with p.
  __host__ __device__ Index begin(Index p) const {
    return smaller(larger<Index>(p * stride - pad_before, 0), input);
  }
  __host__ __device__ Index end(Index p) const {
    return smaller(larger<Index>(p * stride - pad_before + reach() + 1, 0), input);
  }
  // The windows between which all that cover position i lie. Both ascend with i.
  __host__ __device__ Index windows_begin(Index i) const {
    const Index before = i + pad_before - reach();
    return before <= 0 ? 0 : smaller(by_stride.divide(before + stride - 1), output);
  }
  __host__ __device__ Index windows_end(Index i) const {
    return smaller(by_stride.divide(i + pad_before) + 1, output);
  }
  // The most positions that so many neighbouring windows reach, and the most windows that cover so
  // many neighbouring positions.
  Index most_positions(Index windows) const {
    return smaller((windows - 1) * stride + reach() + 1, input);
  }
  Index most_windows(Index positions) const {
    return smaller((positions - 1 + reach()) / stride + 1, output);
  }
  __host__ __device__ Cover<Index> cover(Index i) const {
    if (single) return {0, 0, 1};
    const Index end = windows_end(i);
    Index window = windows_begin(i), offset = i + pad_before - window * stride, tap = offset;
    if (dilation != 1) {
      for (; window < end; ++window, offset -= stride) {
        tap = by_dilation.divide(offset);
        if (tap * dilation == offset) break;
      }
    }
    Index count = larger<Index>(end - window, 0);
    if (window_step != 1) count = by_window_step.divide(count + window_step - 1);
    return {window, tap, count};
  }
  __host__ __device__ void advance(Cover<Index>& cover) const {
    cover.window += window_step;
    cover.tap -= tap_step;
    --cover.count;
  }
  // What this axis contributes to an average's divisor. 1 where nothing is summed: 0 / 1 = 0.
  __host__ __device__ Index counted(Index p) const {
    if (single) return 1;
    if (!count_padding) return larger<Index>(taps(p).count, 1);
    Index room = larger<Index>(input + pad_after + pad_before - p * stride, 0);
    if (dilation != 1) room = by_dilation.divide(room + dilation - 1);
    return larger<Index>(smaller(room, kernel), 1);
  }
};

// Windows of an adaptive pool: [floor(p n / P), ceil((p + 1) n / P)) of n = input positions, P =
// output windows. Which windows cover a position is the same formula with n and P exchanged.
template <class I>
struct UnevenWindow {
  using Index = I;
  Index input, output, kernel;  // the kernel is the largest window
  bool single;
  Divisor<Index> by_input, by_output;

  UnevenWindow() = default;
  UnevenWindow(const PoolProblem& g, size_t i)
      : input(Index(g.input[i])),
        output(Index(g.output[i])),
        kernel(Index(g.kernel[i])),
        single(g.input[i] == 1 && g.output[i] == 1),
        by_input(input),
        by_output(output) {}

  __host__ __device__ Index step() const { return 1; }
  __host__ __device__ Index begin(Index p) const { return by_output.divide(p * input); }
  __host__ __device__ Index end(Index p) const {
    return by_output.divide((p + 1) * input + output - 1);
  }
  __host__ __device__ Index windows_begin(Index i) const { return by_input.divide(i * output); }
  __host__ __device__ Index windows_end(Index i) const {
    return by_input.divide((i + 1) * output + input - 1);
  }
  __host__ __device__ Index position(Index p, Index tap) const { return begin(p) + tap; }
  __host__ __device__ Taps<Index> taps(Index p) const {
    if (single) return {0, 0, 1};
    const Index at = begin(p);
    return {0, at, end(p) - at};
  }
  Index most_positions(Index windows) const { return most(windows, input, output); }
  Index most_windows(Index positions) const { return most(positions, output, input); }
  __host__ __device__ Cover<Index> cover(Index i) const {
    if (single) return {0, 0, 1};
    const Index window = windows_begin(i);
    return {window, i - begin(window), windows_end(i) - window};
  }
  __host__ __device__ void advance(Cover<Index>& cover) const {
    cover.tap += begin(cover.window);
    cover.tap -= begin(++cover.window);
    --cover.count;
  }
  __host__ __device__ Index counted(Index p) const { return single ? 1 : end(p) - begin(p); }

 private:
  // What so many neighbouring ones of `parts` parts of `whole` positions reach at most.
  static Index most(Index neighbours, Index whole, Index parts) {
    const int64_t reach = (int64_t(neighbours) * whole + parts - 1) / parts;
    return Index(smaller<int64_t>(reach + (whole % parts != 0 ? 1 : 0), whole));
  }
};

// A pooling as kernels see it: planes of depth, height and width at whose positions lie `block`
// elements that share their windows.
template <class A>
struct Pool {
  using Axis = A;
  using Index = typename Axis::Index;
  Axis axis[3];
  Index images, block;
  Index divisor;  // average: 0, or what every sum is divided by

  __host__ __device__ Index input_plane() const {
    return axis[0].input * axis[1].input * axis[2].input;
  }
  __host__ __device__ Index output_plane() const {
    return axis[0].output * axis[1].output * axis[2].output;
  }
};

// Axes whose one window is all of the input become one: taps and positions keep their numbers, and
// what is left are long runs of memory.
inline PoolProblem joined_axes(PoolProblem g) {
  const auto whole = [&](size_t i) {
    return g.output[i] == 1 && g.pad_before[i] == 0 && g.kernel[i] == g.input[i] &&
           g.pad_after[i] == 0 && (g.dilation[i] == 1 || g.kernel[i] == 1);
  };
  if (!whole(2)) return g;
  for (size_t i : {1, 0}) {
    if (!whole(i)) break;
    g.input[2] *= g.input[i];
    g.kernel[2] *= g.kernel[i];
    g.dilation[2] = g.stride[2] = g.stride[i] = 1;
    g.input[i] = g.kernel[i] = 1;
  }
  return g;
}

template <class Axis, class Index = typename Axis::Index>
Pool<Axis> make_pool(const PoolProblem& problem) {
  const PoolProblem g = joined_axes(problem);
  const bool planes = g.format == Format::contiguous;
  return {{{g, 0}, {g, 1}, {g, 2}},
          Index(planes ? g.n * g.c : g.n),
          Index(planes ? 1 : g.c),
          Index(g.divisor)};
}

}  // namespace cnnkern::cuda
