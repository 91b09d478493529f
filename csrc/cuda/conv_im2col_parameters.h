// SPDX-License-Identifier: BSD-3-Clause
// What the kernels of im2col and its adjoint are told: the problem and the place of everything in
// the image and in the matrix, by strides.
#pragma once
#include "conv_im2col.h"
#include "index.h"
#include "sizes.h"

namespace cnnkern::cuda {

template <class Index>
struct Im2colParameters {
  struct Axis {
    Index in, taps, pad, step;
    Divisor<Index> out, stride;
    Index image, matrix_tap;  // strides in x or dx, and of a tap in the matrix
  };
  Axis axis[3];
  Index first_row, positions;  // of the output, in the matrix
  Index image_sample, image_channel;
  Index matrix_sample, matrix_group, matrix_channel, matrix_position;
  Index channels;  // of all groups
  Divisor<Index> group_channels;
};

inline int64_t matrix_elements(const ConvProblem& g, const Rows& rows) {
  return (rows.n1 - rows.n0) * (rows.p1 - rows.p0) * g.output[2] * g.c * volume(g.kernel);
}

template <class Index>
Im2colParameters<Index> im2col_parameters(const ConvProblem& g, const Rows& rows) {
  const bool last = g.format == Format::channels_last;
  const int64_t taps = volume(g.kernel), group_channels = g.c / g.groups;
  const int64_t positions = (rows.p1 - rows.p0) * g.output[2];
  Im2colParameters<Index> p{};
  int64_t image = last ? g.c : 1, tap = last ? group_channels : positions;
  for (int i = 2; i >= 0; --i) {
    p.axis[i] = {static_cast<Index>(g.input[i]),      static_cast<Index>(g.kernel[i]),
                 static_cast<Index>(g.pad_before[i]), static_cast<Index>(g.dilation[i]),
                 Divisor<Index>(g.output[i]),         Divisor<Index>(g.stride[i]),
                 static_cast<Index>(image),           static_cast<Index>(tap)};
    image *= g.input[i];
    tap *= g.kernel[i];
  }
  p.first_row = static_cast<Index>(rows.p0);
  p.positions = static_cast<Index>(positions);
  p.image_sample = static_cast<Index>(g.c * volume(g.input));
  p.image_channel = static_cast<Index>(last ? 1 : volume(g.input));
  p.matrix_position = static_cast<Index>(last ? g.c * taps : 1);
  p.matrix_sample = static_cast<Index>(positions * g.c * taps);
  p.matrix_channel = static_cast<Index>(last ? 1 : taps * positions);
  p.matrix_group = static_cast<Index>(group_channels * taps * (last ? 1 : positions));
  p.channels = static_cast<Index>(g.c);
  p.group_channels = Divisor<Index>(group_channels);
  return p;
}

}  // namespace cnnkern::cuda
