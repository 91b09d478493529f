// SPDX-License-Identifier: BSD-3-Clause
// Weight gradient: what a problem is to the kernels of conv_direct_weight_grad_kernel.h.
#include <string>

#include "../problem/text.h"
#include "conv_direct.h"
#include "conv_direct_strides.h"
#include "conv_direct_weight_grad.h"
#include "element.h"
#include "grid.h"
#include "sizes.h"

namespace cnnkern::cuda {
namespace {

template <class Index>
WeightGradParameters<Index> parameters(const ConvProblem& g, const WeightGradCut& cut) {
  WeightGradParameters<Index> p{};
  for (int i = 0; i < 3; ++i) {
    p.axis[i] = {static_cast<Index>(g.input[i]),    static_cast<Index>(g.output[i]),
                 static_cast<Index>(g.stride[i]),   static_cast<Index>(-g.pad_before[i]),
                 static_cast<Index>(g.dilation[i]), Divisor<Index>(g.kernel[i])};
  }
  const int64_t rows = g.c / g.groups * volume(g.kernel);
  p.pixels = static_cast<Index>(g.n * volume(g.output));
  p.split_pixels = static_cast<Index>(cut.split_pixels);
  p.splits = static_cast<Index>(cut.splits);
  p.rows = static_cast<Index>(rows);
  p.columns = static_cast<Index>(g.k / g.groups);
  set_strides(g.format, g.k, g.output, p.dy_sample, p.dy_channel, p.dy_axis);
  set_strides(g.format, g.c, g.input, p.x_sample, p.x_channel, p.x_axis);
  p.row_tiles = Divisor<Index>(cut.row_tiles);
  p.column_tiles = Divisor<Index>(cut.column_tiles);
  p.groups = Divisor<Index>(g.groups);
  p.channels = Divisor<Index>(g.c / g.groups);
  p.all_rows = Divisor<Index>(rows);
  p.channels_last = g.format == Format::channels_last;
  return p;
}

}  // namespace

void conv_direct_weight_grad(const ConvProblem& g, const void* dy, const void* x,
                             const WeightView& dw, void* db, void* workspace, Stream stream) {
  const WeightGradCut cut = cut_weight_grad(g);
  const std::string name = op_of(g);
  const char* const op = name.c_str();
  const int64_t blocks = checked_grid(op, cut.row_tiles * cut.column_tiles * g.groups * cut.splits);
  const int64_t adding = checked_grid(op, ceil_div(weight_elements(g) + g.k, kAddingThreads));
  with_element(g.dtype, [&](auto element) {
    with_index(fits_int32(g) && weights_fit_int32(g, dw), [&](auto index) {
      using Index = decltype(index);
      WeightGradParameters<Index> p = parameters<Index>(g, cut);
      p.dy = dy;
      p.x = x;
      p.dw = dw.data;
      p.db = db;
      p.sums = cut.splits > 1 ? workspace : nullptr;
      p.dw_k = static_cast<Index>(dw.stride[0]);
      p.dw_channel = static_cast<Index>(dw.stride[1]);
      for (int i = 0; i < 3; ++i) p.dw_axis[i] = static_cast<Index>(dw.stride[i + 2]);
      launch_weight_grad<decltype(element)>(
          p, cut.tile, {static_cast<unsigned>(blocks), static_cast<unsigned>(adding)}, stream);
    });
  });
}

}  // namespace cnnkern::cuda
