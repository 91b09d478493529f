// SPDX-License-Identifier: BSD-3-Clause
// Weight gradient: what a problem is to the kernels of conv_implicit_gemm_weight_grad_kernel.h.
#include "conv_implicit_gemm_weight_grad.h"

#include <algorithm>
#include <string>

#include "../problem/text.h"
#include "channel_pack.h"
#include "conv_direct_strides.h"
#include "conv_implicit_gemm.h"
#include "element.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

ImplicitWeightGradParameters parameters(const ConvProblem& g, const WeightGradOperands& both,
                                        const ImplicitWeightGradCut& cut) {
  ImplicitWeightGradParameters p{};
  for (size_t i = 0; i < 3; ++i) {
    p.axis[i] = {int32_t(g.input[i]),       int32_t(g.output[i]),   int32_t(g.stride[i]),
                 int32_t(-g.pad_before[i]), int32_t(g.dilation[i]), Divisor<int32_t>(g.kernel[i])};
  }
  p.split_pixels = int32_t(cut.split_pixels);
  p.splits = int32_t(cut.splits);
  p.columns = int32_t(cut.columns);
  p.dy_group = int32_t(both.dy.group_stride());
  p.dy_pixel = int32_t(both.dy.group_stride() * g.groups);
  int32_t channel;
  set_strides(Format::channels_last, both.x.group_stride() * g.groups, g.input, p.x_sample, channel,
              p.x_axis);
  p.x_group = int32_t(both.x.group_stride());
  p.row_tiles = Divisor<int32_t>(cut.row_tiles);
  p.column_tiles = Divisor<int32_t>(cut.column_tiles);
  p.groups = Divisor<int32_t>(g.groups);
  p.channels = Divisor<int32_t>(both.x.padded);
  return p;
}

// Of so many rows of each group, the first of which is first_row.
void add_splits(const ConvProblem& g, const ImplicitWeightGradCut& cut, int64_t padded,
                int64_t first_row, int64_t rows, const float* sums, const WeightView& dw, void* db,
                DataType result, Stream stream) {
  ImplicitWeightSumsParameters p{};
  p.sums = sums;
  p.dw = static_cast<char*>(dw.data) + first_row * dw.stride[0] * size_of(result);
  p.db = db ? static_cast<char*>(db) + first_row * size_of(result) : nullptr;
  p.matrix = g.groups * rows * cut.columns;
  p.splits = int32_t(cut.splits);
  p.all_rows = int32_t(g.groups * rows);
  p.columns = int32_t(cut.columns);
  p.channels = int32_t(g.c / g.groups);
  p.padded = int32_t(padded);
  p.dw_k = dw.stride[0];
  p.dw_channel = dw.stride[1];
  for (size_t i = 0; i < 3; ++i) {
    p.taps[i] = Divisor<int32_t>(g.kernel[i]);
    p.dw_axis[i] = dw.stride[i + 2];
  }
  with_element(result, [&](auto element) {
    if constexpr (sizeof(element) <= 4) launch_implicit_weight_sums<decltype(element)>(p, stream);
  });
}

}  // namespace

void conv_implicit_gemm_weight_grad(const ConvProblem& g, const void* dy, const void* x,
                                    const WeightView& dw, void* db, DataType result,
                                    void* workspace, Stream stream) {
  const WeightGradOperands both = weight_grad_operands(g);
  const ImplicitWeightGradCut cut = cut_implicit_weight_grad(g);
  const ImplicitWorkspace parts = implicit_gemm_workspace(g, Direction::weight_grad, 1);
  char* const packed_dy = static_cast<char*>(workspace);
  char* const packed_x = packed_dy + parts.first;
  float* const sums = reinterpret_cast<float*>(packed_x + parts.second);

  ImplicitWeightGradParameters p = parameters(g, both, cut);
  p.sums = sums;
  p.with_bias = db != nullptr;
  const std::string op = op_of(g);
  const int64_t most = implicit_gemm_samples(g, Direction::weight_grad);
  const auto source = [&](const ImplicitOperand& operand, const void* data, int64_t n,
                          int64_t samples, char* packed) -> const void* {
    const int64_t sample = operand.pixels * operand.channels * g.groups * size_of(g.dtype);
    const void* const from = static_cast<const char*>(data) + n * sample;
    if (!operand.packed) return from;
    pack_channels(
        {g.dtype, g.format, samples, operand.pixels, g.groups, operand.channels, operand.padded},
        from, packed, stream);
    return packed;
  };
  for (int64_t first_row = 0; first_row < cut.rows; first_row += cut.pass_rows) {
    const int64_t rows = std::min(cut.pass_rows, cut.rows - first_row);
    p.rows = int32_t(rows);
    for (int64_t n = 0; n < g.n; n += most) {
      const int64_t samples = std::min(most, g.n - n);
      p.dy = static_cast<const char*>(source(both.dy, dy, n, samples, packed_dy)) +
             first_row * size_of(g.dtype);
      p.x = source(both.x, x, n, samples, packed_x);
      p.pixels = int32_t(samples * volume(g.output));
      p.adds = n > 0;
      const auto grid = unsigned(
          checked_grid(op.c_str(), cut.row_tiles * cut.column_tiles * g.groups * cut.splits));
      with_element(g.dtype, [&](auto element) {
        using T = decltype(element);
        if constexpr (sizeof(T) <= 4) launch_implicit_weight_grad<T>(p, cut.tile, grid, stream);
      });
    }
    add_splits(g, cut, both.x.padded, first_row, rows, sums, dw, db, result, stream);
  }
}

}  // namespace cnnkern::cuda
