// SPDX-License-Identifier: BSD-3-Clause
#include "conv_im2col_blocks.h"

#include <algorithm>
#include <limits>

#include "sizes.h"

namespace cnnkern::cuda {

namespace {

constexpr int64_t kBlockBytes = 64 << 20;

// Saturates: the matrix of a problem whose tensors fit may not.
int64_t times(int64_t a, int64_t b) {
  int64_t product;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 4;
  return __builtin_mul_overflow(a, b, &product) ? kMost : std::min(product, kMost);
}

bool is_empty(const ConvProblem& g) {
  bool empty = g.n == 0 || g.c == 0;
  for (size_t i = 0; i < 3; ++i) empty = empty || g.input[i] == 0 || g.output[i] == 0;
  return empty;
}

// The bytes of one output row.
struct RowBytes {
  int64_t matrix, copy;
};

RowBytes row_bytes(const ConvProblem& g, Direction direction) {
  const DataType type = im2col_matrix_type(g, direction);
  const int64_t pixels = g.output[2] * size_of(type);
  const int64_t terms = times(g.c, volume(g.kernel));
  return {times(terms, pixels), type == g.dtype ? 0 : times(g.k, pixels)};
}

// How many outputs of an axis, from the first to the last, reach `count` neighbouring inputs.
int64_t reached(const ConvProblem& g, size_t axis, int64_t count) {
  const int64_t span = (g.kernel[axis] - 1) * g.dilation[axis];
  return std::min((count - 1 + span) / g.stride[axis] + 1, g.output[axis]);
}

// At most so many output rows, from the first to the last, reach a band of input rows.
int64_t rows_of_band(const ConvProblem& g, int64_t band) {
  const int64_t depth = g.input[0], height = g.input[1];
  // A band may begin at any row of a plane.
  const int64_t planes = std::min(depth, (band + height - 2) / height + 1);
  const int64_t whole = (reached(g, 0, planes) - 1) * g.output[1];
  return whole + (planes > 1 ? g.output[1] : reached(g, 1, std::min(band, height)));
}

}  // namespace

DataType im2col_matrix_type(const ConvProblem& g, Direction direction) {
  return direction == Direction::forward || size_of(g.dtype) > 2 ? g.dtype : DataType::float32;
}

bool is_its_own_matrix(const ConvProblem& g, Direction direction) {
  for (size_t i = 0; i < 3; ++i) {
    if (g.kernel[i] != 1 || g.stride[i] != 1 || g.pad_before[i] != 0 || g.pad_after[i] != 0)
      return false;
  }
  const bool adds = direction == Direction::input_grad && (g.bias || g.relu);
  return !adds && im2col_matrix_type(g, direction) == g.dtype;
}

Blocks im2col_blocks(const ConvProblem& g, Direction direction) {
  if (is_empty(g)) return {1, 1, 0};
  const bool backward = direction == Direction::input_grad;
  if (is_its_own_matrix(g, direction)) return {g.n, g.output[0] * g.output[1], 0};
  const RowBytes bytes = row_bytes(g, direction);
  const int64_t output_rows = g.output[0] * g.output[1];
  const int64_t all = backward ? g.input[0] * g.input[1] : output_rows;
  const int64_t fitting = kBlockBytes / (bytes.matrix + bytes.copy);  // output rows
  if (fitting >= output_rows) {
    const int64_t samples = std::min(fitting / output_rows, g.n);
    return {samples, all, samples * output_rows * bytes.matrix};
  }
  if (!backward) {
    const int64_t rows = std::max<int64_t>(fitting, 1);
    return {1, rows, times(rows, bytes.matrix)};
  }
  // The widest band whose output rows fit: it reaches the more of them the wider it is.
  int64_t least = 1, beyond = all + 1;
  while (beyond - least > 1) {
    const int64_t band = least + (beyond - least) / 2;
    (rows_of_band(g, band) <= fitting ? least : beyond) = band;
  }
  return {1, least, times(rows_of_band(g, least), bytes.matrix)};
}

int64_t im2col_workspace_bytes(const ConvProblem& g, Direction direction) {
  if (is_empty(g)) return 0;
  ConvProblem any = g;
  any.n = std::numeric_limits<int64_t>::max();
  const RowBytes bytes = row_bytes(g, direction);
  const int64_t matrix = im2col_blocks(any, direction).matrix_bytes;
  const int64_t copy = matrix ? matrix / bytes.matrix * bytes.copy : 0;
  const DataType type = im2col_matrix_type(g, direction);
  // Weights are converted first, then laid out.
  const int64_t copies = direction == Direction::input_grad && type != g.dtype ? 2 : 1;
  return matrix + copy + copies * weight_elements(g) * size_of(type);
}

}  // namespace cnnkern::cuda
