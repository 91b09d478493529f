// SPDX-License-Identifier: BSD-3-Clause
// How im2col cuts a convolution into blocks, so that no matrix grows with the batch.
#pragma once
#include "../problem/conv_problem.h"

namespace cnnkern::cuda {

// A row is one (depth, height) pair, of the output; of the input for an input gradient, whose
// matrix holds the output rows that reach the band.
struct Blocks {
  int64_t samples;       // together in a block
  int64_t rows;          // of each of them: all, unless one sample alone is too much
  int64_t matrix_bytes;  // at most; 0 where there is none to lay out
};

// The matrix and the copies beside it take at most 64 MiB, unless a single row needs more.
Blocks im2col_blocks(const ConvProblem&, Direction);

// Of the matrix: the problem's, but gradients of 16-bit types are summed in float32.
DataType im2col_matrix_type(const ConvProblem&, Direction);

// A 1x1 kernel of stride 1 without padding: x (for an input gradient, dx) is the matrix, if it has
// the matrix's type and nothing else is to be done to it.
bool is_its_own_matrix(const ConvProblem&, Direction);

// What the blocks of a batch of any size take, at most: the matrix; where its type is not the
// problem's a copy of dy beside it; and copies of the weights, or the sums of their gradient.
int64_t im2col_workspace_bytes(const ConvProblem&, Direction);

}  // namespace cnnkern::cuda
