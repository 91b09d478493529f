// SPDX-License-Identifier: BSD-3-Clause
// The adjoint of im2col as a gather: a thread sums a run of dx over the windows that hold it. Every
// element of the matrix is read once, every element of dx written once, without atomics.
#include "../problem/text.h"
#include "conv_im2col.h"
#include "conv_im2col_parameters.h"
#include "element.h"
#include "gemm_tile.h"
#include "grid.h"
#include "launch.h"

namespace cnnkern::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kItems = 4;  // runs of a thread: a block's borders cost little where it is long

template <class Index>
struct Col2imParameters {
  Im2colParameters<Index> im2col;
  Index items, first_row;
  Divisor<Index> width, height, rows, runs;  // rows: of the band; runs: of channels
  bool channels_first;                       // contiguous: positions are the fastest
  bool relu;
};

// The output that reads input `at` with its tap `tap`, or -1.
template <class Index>
__device__ Index output_of(const typename Im2colParameters<Index>::Axis& a, Index at, Index tap) {
  Index output = at + a.pad - tap * a.step;
  if (output < 0) return -1;
  const Index quotient = a.stride.divide(output);
  return quotient * a.stride.d == output && quotient < a.out.d ? quotient : -1;
}

template <class T, class A, class Index, int kRun>
__global__ void __launch_bounds__(kThreads)
    col2im_kernel(const Col2imParameters<Index> p, const A* matrix, const T* bias, T* dx) {
  constexpr int kBatch = 4;  // taps whose loads are under way together
  const auto &axis_d = p.im2col.axis[0], &axis_h = p.im2col.axis[1], &axis_w = p.im2col.axis[2];
  for (int item = 0; item < kItems; ++item) {
    Index rest = static_cast<Index>(blockIdx.x) * (kThreads * kItems) + item * kThreads +
                 static_cast<Index>(threadIdx.x);
    if (rest >= p.items) continue;
    Index channel = p.channels_first ? 0 : pop(rest, p.runs) * kRun;
    const Index w = pop(rest, p.width), row = pop(rest, p.rows) + p.first_row;
    if (p.channels_first) channel = pop(rest, p.runs);
    const Index n = rest;
    Index d = row;
    const Index h = pop(d, p.height);
    Index within = channel;
    const Index group = split(within, p.im2col.group_channels);
    const A* const from = matrix + n * p.im2col.matrix_sample + group * p.im2col.matrix_group +
                          within * p.im2col.matrix_channel;

    A part[kRun], total[kRun];
#pragma unroll
    for (int l = 0; l < kRun; ++l) part[l] = total[l] = 0;
    int terms = 0;
    for (Index t = 0; t < axis_d.taps; ++t) {
      const Index od = output_of<Index>(axis_d, d, t);
      if (od < 0) continue;
      for (Index r = 0; r < axis_h.taps; ++r) {
        const Index oh = output_of<Index>(axis_h, h, r);
        if (oh < 0) continue;
        const Index line = (od * axis_h.out.d + oh - p.im2col.first_row) * axis_w.out.d;
        const A* const taps = from + t * axis_d.matrix_tap + r * axis_h.matrix_tap;
        for (Index s = 0; s < axis_w.taps; s += kBatch) {
          Vector<A, kRun> values[kBatch];
#pragma unroll
          for (int b = 0; b < kBatch; ++b) {
            const Index ow = s + b < axis_w.taps ? output_of<Index>(axis_w, w, s + b) : Index(-1);
#pragma unroll
            for (int l = 0; l < kRun; ++l) values[b].value[l] = 0;
            if (ow >= 0) {
              values[b] = load<kRun>(taps + (s + b) * axis_w.matrix_tap +
                                     (line + ow) * p.im2col.matrix_position);
            }
          }
#pragma unroll
          for (int b = 0; b < kBatch; ++b)
#pragma unroll
            for (int l = 0; l < kRun; ++l) part[l] += values[b].value[l];
          if ((terms += kBatch) < kTermsOfSum) continue;
          terms = 0;
#pragma unroll
          for (int l = 0; l < kRun; ++l) {
            total[l] += part[l];
            part[l] = 0;
          }
        }
      }
    }
    Vector<T, kRun> run;
#pragma unroll
    for (int l = 0; l < kRun; ++l) {
      const A sum = total[l] + part[l] + (bias ? widen(bias[channel + l]) : A(0));
      run.value[l] = narrow<T>(p.relu && sum <= 0 ? A(0) : sum);  // NaN stays
    }
    store(dx + n * p.im2col.image_sample + channel * p.im2col.image_channel + d * axis_d.image +
              h * axis_h.image + w * axis_w.image,
          run);
  }
}

struct Call {
  const ConvProblem& g;
  const Rows& rows;
  int64_t h0, h1;
  const void *matrix, *bias;
  void* dx;
  Stream stream;
};

template <class T, class Index, int kRun>
void launch_run(const Call& call) {
  const ConvProblem& g = call.g;
  Col2imParameters<Index> p{};
  p.im2col = im2col_parameters<Index>(g, call.rows);
  const int64_t runs = g.c / kRun;
  const int64_t items = (call.rows.n1 - call.rows.n0) * (call.h1 - call.h0) * g.input[2] * runs;
  p.items = static_cast<Index>(items);
  p.first_row = static_cast<Index>(call.h0);
  p.width = Divisor<Index>(g.input[2]);
  p.height = Divisor<Index>(g.input[1]);
  p.rows = Divisor<Index>(call.h1 - call.h0);
  p.runs = Divisor<Index>(runs);
  p.channels_first = g.format == Format::contiguous;
  p.relu = g.relu;
  const int64_t blocks = checked_grid(op_of(g).c_str(), ceil_div(items, kThreads * kItems));
  using A = Compute<T>;
  launch(col2im_kernel<T, A, Index, kRun>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0,
         call.stream, p, static_cast<const A*>(call.matrix), static_cast<const T*>(call.bias),
         static_cast<T*>(call.dx) + call.rows.n0 * int64_t(p.im2col.image_sample));
}

}  // namespace

void col2im(const ConvProblem& g, const Rows& rows, int64_t h0, int64_t h1, const void* matrix,
            DataType, const void* bias, void* dx, Stream stream) {
  const Call call{g, rows, h0, h1, matrix, bias, dx, stream};
  with_element(g.dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kRun = kLanes<Compute<T>>;
    const bool runs = g.format == Format::channels_last && g.c / g.groups % kRun == 0 &&
                      is_aligned(matrix, 16) && is_aligned(dx, 16);
    with_index(fits_int32(g) && fits_int32({matrix_elements(g, rows)}), [&](auto index) {
      using Index = decltype(index);
      constexpr bool kRuns = sizeof(Index) == 4;  // 64-bit offsets: fewer instances
      if (kRuns && runs) return launch_run<T, Index, kRuns ? kRun : 1>(call);
      launch_run<T, Index, 1>(call);
    });
  });
}

}  // namespace cnnkern::cuda
