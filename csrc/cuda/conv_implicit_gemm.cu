// SPDX-License-Identifier: BSD-3-Clause
// Forward and input gradient: what a problem is to the kernels of
// conv_implicit_gemm_gather_kernel.h and conv_implicit_gemm_pool_kernel.h.
#include "conv_implicit_gemm.h"

#include <algorithm>

#include "../problem/text.h"
#include "channel_pack.h"
#include "conv_direct_strides.h"
#include "conv_implicit_gemm_gather.h"
#include "conv_implicit_gemm_pool.h"
#include "conv_implicit_gemm_pool_windows.h"
#include "conv_phases.h"
#include "element.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

// Filters as the kernel reads them: their terms side by side, or their columns.
struct Filters {
  const void* data;
  bool across;
  int64_t group, column, channel, tap[3];
};

struct Call {
  const ConvProblem& g;
  bool gradient;
  const WeightView& w;
  const void *bias, *residual;
  ImplicitCut cut;
  char* workspace;
  Stream stream;
  ImplicitOperand source;
  int64_t element, chunk, columns;  // chunk: elements of 16 bytes; columns: of one group
  bool across = true;               // whether filters are read where their columns lie side by side

  Call(const ConvProblem& problem, bool input_grad, const WeightView& weight, const void* b,
       const void* added, const ImplicitCut& into, void* room, Stream on)
      : g(problem),
        gradient(input_grad),
        w(weight),
        bias(b),
        residual(added),
        cut(into),
        workspace(static_cast<char*>(room)),
        stream(on),
        source(gathered_operand(problem, direction())),
        element(size_of(problem.dtype)),
        chunk(16 / element),
        columns((input_grad ? problem.c : problem.k) / problem.groups) {}

  Direction direction() const { return gradient ? Direction::input_grad : Direction::forward; }
  const Extent& source_size() const { return gradient ? g.output : g.input; }
  const Extent& destination_size() const { return gradient ? g.input : g.output; }
  int64_t step() const { return kImplicitStepBytes / element; }

  ImplicitLoads loads(bool across) const {
    if (source.padded % step() == 0)
      return across ? ImplicitLoads::steps_across : ImplicitLoads::steps;
    return source.padded % chunk == 0 ? ImplicitLoads::chunks : ImplicitLoads::half_chunks;
  }
  // Elements of one copy.
  int64_t copy() const { return std::min(chunk, source.padded % chunk ? int64_t{4} : chunk); }
};

// As the weights are, if they can be read so.
bool read_in_place(const Call& call, Filters& filters) {
  const ConvProblem& g = call.g;
  const auto stride = [&](size_t axis, int64_t size) {
    return size == 1 ? 0 : call.w.stride[axis];
  };
  const int64_t channel = stride(!call.gradient, call.source.channels);
  const int64_t column = stride(call.gradient, call.columns);
  filters = {call.w.data, false, stride(0, g.groups) * (g.k / g.groups), column, channel, {}};
  for (size_t i = 0; i < 3; ++i) filters.tap[i] = stride(i + 2, g.kernel[i]);
  if (call.source.padded != call.source.channels || !weights_fit_int32(g, call.w)) return false;
  const auto divide = [&](int64_t unit, int64_t outer) {
    bool all = is_aligned(call.w.data, unit * call.element) && outer % unit == 0 &&
               filters.group % unit == 0;
    for (const int64_t tap : filters.tap) all = all && tap % unit == 0;
    return all;
  };
  if (channel == 1 || call.source.channels == 1) return divide(call.copy(), column);
  filters.across = true;
  return call.across && column == 1 && call.source.padded % call.step() == 0 &&
         call.columns % call.chunk == 0 && divide(call.chunk, channel);
}

Filters filters_of(const Call& call) {
  Filters filters;
  if (read_in_place(call, filters)) return filters;
  const ConvProblem& g = call.g;
  const int64_t padded = call.source.padded;
  FilterPack pack{g.dtype,
                  g.groups,
                  call.columns,
                  call.source.channels,
                  padded,
                  g.kernel,
                  g.k / g.groups * call.w.stride[0],
                  call.w.stride[call.gradient],
                  call.w.stride[!call.gradient],
                  {}};
  for (size_t i = 0; i < 3; ++i) pack.tap_stride[i] = call.w.stride[i + 2];
  pack_filters(pack, call.w.data, call.workspace, call.stream);
  const auto& [d, h, w] = g.kernel;
  return {call.workspace,     false, call.columns * d * h * w * padded,
          d * h * w * padded, 1,     {h * w * padded, w * padded, padded}};
}

// Of some samples.
struct Result {
  const void* residual;
  void* y;
};

// All but how many tiles there are.
ImplicitGatherParameters parameters_of(const Call& call, const Phases& phases,
                                       const Filters& filters, int64_t samples, const void* x,
                                       const Result& to, const Extent& destination_size) {
  ImplicitGatherParameters p{};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < phases[i].size(); ++j) {
      const GatherAxis& a = phases[i][j];
      p.axis[i][j] = {int32_t(a.in),
                      int32_t(a.taps),
                      int32_t(a.stride),
                      int32_t(a.base),
                      int32_t(a.step),
                      int32_t(a.first),
                      int32_t(a.spacing),
                      int32_t(a.tap_first * filters.tap[i]),
                      int32_t(a.tap_spacing * filters.tap[i]),
                      Divisor<int32_t>(a.out)};
    }
  }
  p.x = x;
  p.w = filters.data;
  p.bias = call.bias;
  p.residual = to.residual;
  p.y = to.y;
  p.samples = int32_t(samples);
  p.channels = int32_t(call.source.padded);
  p.columns = int32_t(call.columns);
  int32_t channel;
  set_strides(Format::channels_last, call.source.group_stride() * call.g.groups, call.source_size(),
              p.x_sample, channel, p.x_axis);
  p.x_group = int32_t(call.source.group_stride());
  set_strides(call.g.format, call.columns * call.g.groups, destination_size, p.y_sample,
              p.y_channel, p.y_axis);
  p.w_group = int32_t(filters.group);
  p.w_column = int32_t(filters.column);
  p.w_channel = int32_t(filters.channel);
  p.groups = Divisor<int32_t>(call.g.groups);
  p.height_phases = Divisor<int32_t>(int64_t(phases[1].size()));
  p.width_phases = Divisor<int32_t>(int64_t(phases[2].size()));
  p.relu = call.g.relu;
  p.vectors = p.y_channel == 1 && call.columns % call.chunk == 0 && is_aligned(to.y, 16) &&
              is_aligned(to.residual, 16);
  return p;
}

void launch_phases(const Call& call, const Phases& phases, const Filters& filters, int64_t samples,
                   const void* x, const Result& to, float* sums) {
  const int64_t pixels = most_pixels(phases, samples);
  const int64_t column_tiles = ceil_div(call.columns, mma_columns(call.cut.tile));
  const int64_t pixel_tiles = ceil_div(pixels, mma_rows(call.cut.tile));
  ImplicitGatherParameters p =
      parameters_of(call, phases, filters, samples, x, to, call.destination_size());
  p.part_steps = int32_t(implicit_parts(call.g, call.direction()).steps);
  p.sums = sums;
  p.phase_pixels = Divisor<int32_t>(pixels);
  p.sum_columns = Divisor<int32_t>(call.columns + call.columns % 2);
  p.column_tiles = Divisor<int32_t>(column_tiles);
  p.pixel_tiles = Divisor<int32_t>(pixel_tiles);
  p.parts = Divisor<int32_t>(call.cut.split);
  const int64_t outer = call.g.groups * count_of(phases);
  const auto grid = unsigned(
      checked_grid(op_of(call.g).c_str(), column_tiles * pixel_tiles * call.cut.split * outer));
  with_element(call.g.dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (sizeof(T) <= 4) {
      launch_implicit_gather<T>(p, call.cut.tile, call.loads(filters.across), grid, call.stream);
      if (sums) launch_implicit_gather_sums<T>(p, outer * pixels * p.sum_columns.d, call.stream);
    }
  });
}

// launch(filters, samples, x and result of these samples, room for the sums of parts) for as many
// samples at a time as one launch reads. destination_size: of y.
template <class Launch>
void run(const Call& call, const void* x, void* y, const Extent& destination_size,
         const Launch& launch) {
  const ConvProblem& g = call.g;
  const Filters filters = filters_of(call);
  const ImplicitWorkspace parts = implicit_gemm_workspace(g, call.direction(), call.cut.split);
  float* const sums = call.cut.split > 1
                          ? reinterpret_cast<float*>(call.workspace + parts.filters + parts.first)
                          : nullptr;
  const int64_t most = implicit_gemm_samples(g, call.direction());
  const int64_t source = call.source.channels * g.groups * call.source.pixels * call.element;
  const int64_t result = call.columns * g.groups * volume(destination_size) * call.element;
  for (int64_t n = 0; n < g.n; n += most) {
    const int64_t samples = std::min(most, g.n - n);
    const void* from = static_cast<const char*>(x) + n * source;
    if (call.source.packed) {
      char* const packed = call.workspace + parts.filters;
      pack_channels({g.dtype, g.format, samples, call.source.pixels, g.groups, call.source.channels,
                     call.source.padded},
                    from, packed, call.stream);
      from = packed;
    }
    const Result to{call.residual ? static_cast<const char*>(call.residual) + n * result : nullptr,
                    static_cast<char*>(y) + n * result};
    launch(filters, samples, from, to, sums);
  }
}

void run(const Call& call, const void* x, void* y) {
  const auto launches = phase_launches(call.g, call.gradient, kAxisPhases);
  run(call, x, y, call.destination_size(),
      [&](const Filters& filters, int64_t samples, const void* from, const Result& to,
          float* sums) {
        for (const Phases& phases : launches)
          launch_phases(call, phases, filters, samples, from, to, sums);
      });
}

void launch_pool(const Call& call, const PoolProblem& pool, const ImplicitPoolTiles& tiles,
                 const Filters& filters, int64_t samples, const void* x, const Result& to) {
  const Phases phases = phase_launches(call.g, false, 1).front();
  const ImplicitLoads loads = call.loads(filters.across);
  const int64_t pixel_tiles = tiles.in_launch(samples);
  const int64_t column_tiles = ceil_div(call.columns, mma_columns(call.cut.tile));
  ImplicitPoolParameters p{};
  p.conv = parameters_of(call, phases, filters, samples, x, to, pool.output);
  p.conv.column_tiles = Divisor<int32_t>(column_tiles);
  p.conv.pixel_tiles = Divisor<int32_t>(pixel_tiles);
  int64_t rows = 1, windows = 1;
  for (size_t i = 3; i-- > 0;) {
    ImplicitPoolParameters::Axis& axis = p.axis[i];
    axis.outputs = int32_t(pool.output[i]);
    axis.taps = int32_t(pool.kernel[i]);
    axis.stride = int32_t(tiles.strides[i]);
    axis.pad = int32_t(pool.pad_before[i]);
    axis.window_rows = int32_t(tiles.strides[i] * rows);
    axis.tap_rows = int32_t(tiles.dilations[i] * rows);
    axis.tiles = Divisor<int32_t>(tiles.tiles[i]);
    axis.windows = Divisor<int32_t>(tiles.windows[i]);
    axis.pixels = Divisor<int32_t>(tiles.pixels[i]);
    rows *= tiles.pixels[i];
    windows *= tiles.windows[i];
  }
  p.samples = int32_t(tiles.samples);
  p.sample_rows = int32_t(rows);
  p.outputs = Divisor<int32_t>(windows * tiles.samples);
  const auto grid =
      unsigned(checked_grid(op_of(call.g).c_str(), column_tiles * pixel_tiles * call.g.groups));
  with_element(call.g.dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (sizeof(T) <= 4)
      launch_implicit_pool<T>(p, call.cut.tile, loads, grid, call.stream);
  });
}

}  // namespace

void conv_implicit_gemm_forward(const ConvProblem& g, const void* x, const WeightView& w,
                                const void* bias, const void* residual, const ImplicitCut& cut,
                                void* y, void* workspace, Stream stream) {
  run(Call(g, false, w, bias, residual, cut, workspace, stream), x, y);
}

void conv_implicit_gemm_input_grad(const ConvProblem& g, const void* dy, const WeightView& w,
                                   const void* bias, const ImplicitCut& cut, void* dx,
                                   void* workspace, Stream stream) {
  run(Call(g, true, w, bias, nullptr, cut, workspace, stream), dy, dx);
}

void conv_implicit_gemm_pool(const ConvProblem& g, const PoolProblem& pool,
                             const ImplicitPoolTiles& tiles, MmaTileSize tile, const void* x,
                             const WeightView& w, const void* bias, void* y, void* workspace,
                             Stream stream) {
  Call call(g, false, w, bias, nullptr, {tile, 1}, workspace, stream);
  call.across = false;
  run(call, x, y, pool.output,
      [&](const Filters& filters, int64_t samples, const void* from, const Result& to, float*) {
        launch_pool(call, pool, tiles, filters, samples, from, to);
      });
}

}  // namespace cnnkern::cuda
