// SPDX-License-Identifier: BSD-3-Clause
// Windows of an image laid out as a matrix. A thread writes every tap of a run of the matrix: of
// neighbouring positions (contiguous) or channels (channels_last), 16 bytes at most. So a block
// reads its patch of the image from memory once, and again from L1 for the other taps: the image's
// bytes and the matrix's are all that moves, but for the patches' borders.
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
constexpr int kPatch = 8;  // channels_last: a block takes a square of so many rows and positions

template <class From, class To>
__device__ To convert(From v) {
  if constexpr (std::is_same_v<From, To>) {
    return v;
  } else {
    return widen(v);
  }
}

// A run from the image, or zeros, into the matrix.
template <int kRun, class From, class To>
__device__ void copy_run(const From* from, bool given, To* to) {
  using W = typename Word<int(sizeof(From)) * kRun>::type;
  W word{};
  if (given) word = *reinterpret_cast<const W*>(from);
  if constexpr (std::is_same_v<From, To>) {
    // Never as a vector: compilers split one that may be zeros into its elements.
    *reinterpret_cast<W*>(to) = word;
  } else {
    const auto values = __builtin_bit_cast(Vector<From, kRun>, word);
    Vector<To, kRun> run;
#pragma unroll
    for (int l = 0; l < kRun; ++l) run.value[l] = convert<From, To>(values.value[l]);
    store(to, run);
  }
}

// Calls f(d, h, tap's offset in the matrix) for every tap of depth and height.
template <class Index, class F>
__device__ void each_line_of_taps(const Im2colParameters<Index>& p, Index d, Index h, const F& f) {
  for (Index t = 0; t < p.axis[0].taps; ++t)
    for (Index r = 0; r < p.axis[1].taps; ++r)
      f(d + t * p.axis[0].step, h + r * p.axis[1].step,
        t * p.axis[0].matrix_tap + r * p.axis[1].matrix_tap);
}

template <class Index>
__device__ Index window_start(const typename Im2colParameters<Index>::Axis& a, Index output) {
  return output * a.stride.d - a.pad;
}

template <class Index>
__device__ bool inside(const typename Im2colParameters<Index>::Axis& a, Index at) {
  return std::make_unsigned_t<Index>(at) < std::make_unsigned_t<Index>(a.in);
}

// Thread: sample, channel, run of positions, the fastest.
template <class From, class To, class Index, int kRun>
__global__ void __launch_bounds__(kThreads)
    im2col_positions_kernel(const Im2colParameters<Index> p, const From* x, To* matrix,
                            const Divisor<Index> runs, const Divisor<Index> channels,
                            Index threads) {
  Index rest = static_cast<Index>(blockIdx.x) * kThreads + static_cast<Index>(threadIdx.x);
  if (rest >= threads) return;
  const Index position = pop(rest, runs) * kRun, channel = pop(rest, channels), n = rest;
  x += n * p.image_sample + channel * p.image_channel;
  matrix += n * p.matrix_sample + channel * p.matrix_channel + position;

  // Where the window of each position of the run begins.
  Index d[kRun], h[kRun], w[kRun];
  Index row = position;
  Index q = pop(row, p.axis[2].out);
  row += p.first_row;
  Index oh = pop(row, p.axis[1].out), od = row;
#pragma unroll
  for (int l = 0; l < kRun; ++l) {
    d[l] = window_start<Index>(p.axis[0], od);
    h[l] = window_start<Index>(p.axis[1], oh);
    w[l] = window_start<Index>(p.axis[2], q);
    if (++q < p.axis[2].out.d) continue;
    q = 0;
    if (++oh < p.axis[1].out.d) continue;
    oh = 0;
    ++od;
  }
  each_line_of_taps<Index>(p, 0, 0, [&](Index step_d, Index step_h, Index to) {
    Index from[kRun];
    bool line[kRun];
#pragma unroll
    for (int l = 0; l < kRun; ++l) {
      line[l] = inside<Index>(p.axis[0], d[l] + step_d) && inside<Index>(p.axis[1], h[l] + step_h);
      from[l] = line[l] ? (d[l] + step_d) * p.axis[0].image + (h[l] + step_h) * p.axis[1].image : 0;
    }
    for (Index s = 0; s < p.axis[2].taps; ++s) {
      const Index step_w = s * p.axis[2].step;
      Vector<To, kRun> run;
#pragma unroll
      for (int l = 0; l < kRun; ++l) {
        const Index at = w[l] + step_w;
        const bool given = line[l] && inside<Index>(p.axis[2], at);
        run.value[l] = given ? convert<From, To>(x[from[l] + at]) : To(0);
      }
      store(matrix + to + s * p.axis[2].matrix_tap, run);
    }
  });
}

// Block: sample, patch of rows and positions, chunk of channels. Thread: run of channels, the
// fastest, and pixel of the patch.
template <class From, class To, class Index, int kRun>
__global__ void __launch_bounds__(kThreads)
    im2col_channels_kernel(const Im2colParameters<Index> p, const From* x, To* matrix,
                           const Divisor<int32_t> chunk, const Divisor<int32_t> chunks,
                           const Divisor<int32_t> patches_w, const Divisor<int32_t> patches_h) {
  int32_t block = static_cast<int32_t>(blockIdx.x);
  const Index first_run = Index(pop(block, chunks)) * chunk.d;
  const Index first_q = Index(pop(block, patches_w)) * kPatch;
  const Index first_row = Index(pop(block, patches_h)) * kPatch;
  x += Index(block) * p.image_sample;
  matrix += Index(block) * p.matrix_sample;

  const int32_t items = chunk.d * (kPatch * kPatch);
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < items; i += kThreads) {
    int32_t pixel = i;
    const Index channel = (first_run + pop(pixel, chunk)) * kRun;
    const Index q = first_q + pixel % kPatch, line = first_row + pixel / kPatch;
    const Index position = line * p.axis[2].out.d + q;
    if (channel >= p.channels || q >= p.axis[2].out.d || position >= p.positions) continue;
    Index within = channel;
    const Index group = split(within, p.group_channels);
    To* const row = matrix + position * p.matrix_position + group * p.matrix_group + within;
    Index od = line + p.first_row;
    const Index oh = pop(od, p.axis[1].out);
    const Index w = window_start<Index>(p.axis[2], q);
    each_line_of_taps<Index>(
        p, window_start<Index>(p.axis[0], od), window_start<Index>(p.axis[1], oh),
        [&](Index d, Index h, Index to) {
          const bool in_image = inside<Index>(p.axis[0], d) && inside<Index>(p.axis[1], h);
          const Index from =
              in_image ? d * p.axis[0].image + h * p.axis[1].image + channel : Index(0);
#pragma unroll(sizeof(Index) == 4 ? 4 : 1)
          for (Index s = 0; s < p.axis[2].taps; ++s) {
            const Index at = w + s * p.axis[2].step;
            copy_run<kRun>(x + from + at * p.axis[2].image,
                           in_image && inside<Index>(p.axis[2], at),
                           row + to + s * p.axis[2].matrix_tap);
          }
        });
  }
}

struct Call {
  const ConvProblem& g;
  const Rows& rows;
  const void* x;
  void* matrix;
  Stream stream;
};

template <class From, class To, class Index, int kRun>
void launch_positions(const Call& call) {
  const Im2colParameters<Index> p = im2col_parameters<Index>(call.g, call.rows);
  const int64_t runs = p.positions / kRun;
  const int64_t threads = (call.rows.n1 - call.rows.n0) * call.g.c * runs;
  const int64_t blocks = checked_grid(op_of(call.g).c_str(), ceil_div(threads, kThreads));
  const From* const x = static_cast<const From*>(call.x) + call.rows.n0 * int64_t(p.image_sample);
  launch(im2col_positions_kernel<From, To, Index, kRun>, dim3(static_cast<unsigned>(blocks)),
         dim3(kThreads), 0, call.stream, p, x, static_cast<To*>(call.matrix), Divisor<Index>(runs),
         Divisor<Index>(call.g.c), static_cast<Index>(threads));
}

template <class From, class To, class Index, int kRun>
void launch_channels(const Call& call) {
  constexpr int64_t kChunkBytes = 64;  // of the image: two sectors
  const Im2colParameters<Index> p = im2col_parameters<Index>(call.g, call.rows);
  const int64_t runs = call.g.c / kRun, wanted = kChunkBytes / int64_t(kRun * sizeof(From));
  // Channels that do not fill sectors stay together.
  const int64_t chunk = kRun > 1 || runs > 2 * wanted ? std::min(runs, wanted) : runs;
  const int64_t patches_w = ceil_div(call.g.output[2], kPatch);
  const int64_t patches_h = ceil_div(call.rows.p1 - call.rows.p0, kPatch);
  const int64_t chunks = ceil_div(runs, chunk);
  const int64_t blocks = checked_grid(
      op_of(call.g).c_str(), (call.rows.n1 - call.rows.n0) * patches_h * patches_w * chunks);
  const From* const x = static_cast<const From*>(call.x) + call.rows.n0 * int64_t(p.image_sample);
  launch(im2col_channels_kernel<From, To, Index, kRun>, dim3(static_cast<unsigned>(blocks)),
         dim3(kThreads), 0, call.stream, p, x, static_cast<To*>(call.matrix),
         Divisor<int32_t>(chunk), Divisor<int32_t>(chunks), Divisor<int32_t>(patches_w),
         Divisor<int32_t>(patches_h));
}

template <class From, class To>
void run(const Call& call) {
  // More than 4 of 16 bits would spread a warp's loads over too many lines.
  constexpr int kPositions = kLanes<To> < 4 ? kLanes<To> : 4;
  constexpr int kChannels = kLanes<To>;
  const ConvProblem& g = call.g;
  const int64_t positions = (call.rows.p1 - call.rows.p0) * g.output[2];
  const bool aligned = is_aligned(call.x, 16) && is_aligned(call.matrix, 16);
  const bool in_runs = g.format == Format::contiguous
                           ? is_aligned(call.matrix, 16) && positions % kPositions == 0
                           : aligned && g.c / g.groups % kChannels == 0;
  with_index(fits_int32(g) && fits_int32({matrix_elements(g, call.rows)}), [&](auto index) {
    using Index = decltype(index);
    constexpr bool kRuns = sizeof(Index) == 4;  // 64-bit offsets: fewer instances
    if (g.format == Format::contiguous) {
      if (kRuns && in_runs) return launch_positions<From, To, Index, kRuns ? kPositions : 1>(call);
      return launch_positions<From, To, Index, 1>(call);
    }
    if (kRuns && in_runs) return launch_channels<From, To, Index, kRuns ? kChannels : 1>(call);
    launch_channels<From, To, Index, 1>(call);
  });
}

}  // namespace

void im2col(const ConvProblem& g, const Rows& rows, const void* x, void* matrix,
            DataType matrix_type, Stream stream) {
  const Call call{g, rows, x, matrix, stream};
  const bool widens = matrix_type != g.dtype;
  switch (g.dtype) {
    case DataType::float64:
      return run<double, double>(call);
    case DataType::float32:
      return run<float, float>(call);
    case DataType::float16:
      return widens ? run<__half, float>(call) : run<uint16_t, uint16_t>(call);
    case DataType::bfloat16:
      return widens ? run<__nv_bfloat16, float>(call) : run<uint16_t, uint16_t>(call);
  }
}

}  // namespace cnnkern::cuda
