// SPDX-License-Identifier: BSD-3-Clause
// Convolution's windows laid out as a matrix, and the adjoint, for a matrix product of torch's:
//   contiguous     [n][groups][C/groups * taps][positions]
//   channels_last  [n * positions][groups][taps * C/groups]
// of some samples and some rows of the output, where a row is a (depth, height) pair and holds
// output[2] positions. Dense. Its type is the problem's, or float32 for a problem of 16 bits.
#pragma once
#include "../problem/conv_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// Samples [n0, n1), output rows [p0, p1).
struct Rows {
  int64_t n0, n1, p0, p1;
};

// Zero where a window lies in the padding.
void im2col(const ConvProblem&, const Rows&, const void* x, void* matrix, DataType matrix_type,
            Stream);

// Input rows [h0, h1) of samples [rows.n0, rows.n1): each element the sum of the matrix over the
// windows that hold it, plus bias (C values, may be null), with problem.relu, rounded once. `rows`
// holds all that touch these input rows; the matrix of float32 or float64.
void col2im(const ConvProblem&, const Rows& rows, int64_t h0, int64_t h1, const void* matrix,
            DataType matrix_type, const void* bias, void* dx, Stream);

// From the first to the last of the output rows whose windows reach input rows [h0, h1); p0 = p1
// where none does.
Rows rows_touching(const ConvProblem&, int64_t n0, int64_t n1, int64_t h0, int64_t h1);

}  // namespace cnnkern::cuda
