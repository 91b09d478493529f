// SPDX-License-Identifier: BSD-3-Clause
// With L positions of a block of output rows, per group (contiguous, for each sample):
//   y [Kg, L] = w [Kg, D] * matrix [D, L],  matrix = w^T * dy,  dw = dy * matrix^T,
// where D = C/groups * taps, channel slowest; in channels_last, over all samples of the block,
//   y [L, Kg] = matrix [L, D] * w^T [D, Kg],  matrix = dy * w,  dw = dy^T * matrix,
// where the channel is the fastest of D. Gradients of 16-bit types are computed in float32: their
// sums over taps and blocks would be rounded once too often.
#include "cuda_im2col.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "../cuda/conv_im2col.h"
#include "../cuda/conv_im2col_blocks.h"
#include "../cuda/sizes.h"
#include "cuda_argument.h"
#include "cuda_device.h"
#include "cuda_workspace.h"

namespace cnnkern::ops {

namespace {

using at::Tensor;
using cuda::Rows;

// A problem as the matrix product sees it.
struct Product {
  const ConvProblem& problem;
  bool last;  // channels_last
  int64_t groups, kg, depth, taps, pixels;

  explicit Product(const ConvProblem& g)
      : problem(g),
        last(g.format == Format::channels_last),
        groups(g.groups),
        kg(g.k / g.groups),
        depth(g.c / g.groups * cuda::volume(g.kernel)),
        taps(cuda::volume(g.kernel)),
        pixels(cuda::volume(g.output)) {}

  int64_t positions(const Rows& rows) const {
    return (rows.p1 - rows.p0) * problem.output[2] * (last ? rows.n1 - rows.n0 : 1);
  }
  // w as [groups, Kg, D].
  Tensor filters(const Tensor& w, at::ScalarType type) const {
    Tensor dense = w.to(type);
    if (last) dense = dense.movedim(1, -1);
    return dense.contiguous().view({groups, kg, depth});
  }
  // The rows of an activation of K channels: channels_last [groups, L, Kg]; contiguous, of one
  // sample, [groups, Kg, L], or of all samples of the block, [samples, K, L].
  Tensor outputs(const Tensor& y, const Rows& rows, int64_t n, bool all) const {
    const int64_t row = problem.output[2], k = problem.k;
    if (last) {
      const int64_t first = rows.n0 * pixels + rows.p0 * row;
      return y.as_strided({groups, positions(rows), kg}, {kg, k, 1},
                          y.storage_offset() + first * k);
    }
    return y.as_strided({all ? rows.n1 - rows.n0 : groups, kg, positions(rows)},
                        {kg * pixels, pixels, 1},
                        y.storage_offset() + n * k * pixels + rows.p0 * row);
  }
  // The same for a matrix of windows: [groups, L, D]; [groups, D, L] or [samples, D, L].
  Tensor windows(const Tensor& matrix, const Rows& rows, int64_t n, bool all) const {
    const int64_t length = positions(rows), first = matrix.storage_offset();
    if (last) return matrix.as_strided({groups, length, depth}, {depth, groups * depth, 1}, first);
    return matrix.as_strided({all ? rows.n1 - rows.n0 : groups, depth, length},
                             {depth * length, length, 1},
                             first + (n - rows.n0) * groups * depth * length);
  }
  // One product serves all samples of a block in channels_last, and where a single group leaves
  // the batch's place to them; else each sample has its own.
  bool together() const { return last || groups == 1; }
  template <class F>
  void each_product(const Rows& rows, bool all, const F& f) const {
    for (int64_t n = rows.n0; n < (last || all ? rows.n0 + 1 : rows.n1); ++n) f(n);
  }
};

// Blocks of `samples` samples and `rows` rows of `height` that together cover the batch.
template <class F>
void each_block(const ConvProblem& g, const cuda::Blocks& blocks, int64_t height, const F& f) {
  for (int64_t n = 0; n < g.n; n += blocks.samples)
    for (int64_t row = 0; row < height; row += blocks.rows)
      f(n, std::min(g.n, n + blocks.samples), row, std::min(height, row + blocks.rows));
}

// `own`: the tensor that is the matrix where none is laid out.
Tensor matrix_of(const char* op, const ConvProblem& g, Direction direction,
                 const cuda::Blocks& blocks, at::ScalarType type, const Tensor& own) {
  if (cuda::is_its_own_matrix(g, direction)) return own;
  return workspace(op, g, direction, Algorithm::im2col, blocks.matrix_bytes, own).view(type);
}

DataType data_type_of(at::ScalarType type) {
  return type == at::kDouble     ? DataType::float64
         : type == at::kHalf     ? DataType::float16
         : type == at::kBFloat16 ? DataType::bfloat16
                                 : DataType::float32;
}

at::ScalarType wide(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

void lay_out(const char* op, const ConvProblem& g, const Rows& rows, const Tensor& x,
             const Tensor& matrix) {
  if (matrix.is_same(x)) return;
  const Argument from("input", x, Use::in), to("matrix", matrix, Use::inout);
  launch(op, [&] {
    cuda::im2col(g, rows, from.data(), to.data(), data_type_of(matrix.scalar_type()),
                 current_stream(x));
  });
}

}  // namespace

void im2col_forward(const char* op, const ConvProblem& g, const Tensor& x, const Tensor& w,
                    const Tensor& bias, const Tensor& y) {
  const Product product(g);
  const cuda::Blocks blocks = cuda::im2col_blocks(g, Direction::forward);
  const at::ScalarType type = x.scalar_type();
  const Tensor matrix = matrix_of(op, g, Direction::forward, blocks, type, x);
  const Tensor filters = product.filters(w, type);
  Tensor biases;
  if (bias.defined()) {
    biases = product.last ? bias.view({product.groups, 1, product.kg})
                          : bias.view({product.groups, product.kg, 1});
  }
  each_block(g, blocks, g.output[0] * g.output[1], [&](auto n0, auto n1, auto p0, auto p1) {
    const Rows rows{n0, n1, p0, p1};
    lay_out(op, g, rows, x, matrix);
    product.each_product(rows, product.together(), [&](int64_t n) {
      Tensor to = product.outputs(y, rows, n, product.together());
      const Tensor windows = product.windows(matrix, rows, n, product.together());
      const Tensor a = product.last ? windows : filters.expand({to.size(0), -1, -1});
      const Tensor b = product.last ? filters.transpose(1, 2) : windows;
      if (bias.defined())
        at::baddbmm_out(to, biases.expand_as(to), a, b);
      else
        at::bmm_out(to, a, b);
    });
  });
  if (g.relu) at::relu_(const_cast<Tensor&>(y));
}

void im2col_input_grad(const char* op, const ConvProblem& g, const Tensor& dy, const Tensor& w,
                       const Tensor& bias, const Tensor& dx) {
  const Product product(g);
  const cuda::Blocks blocks = cuda::im2col_blocks(g, Direction::input_grad);
  const at::ScalarType type = wide(dy.scalar_type());
  const Tensor matrix = matrix_of(op, g, Direction::input_grad, blocks, type, dx);
  const Tensor filters = product.filters(w, type);
  each_block(g, blocks, g.input[0] * g.input[1], [&](auto n0, auto n1, auto h0, auto h1) {
    const Rows rows = cuda::rows_touching(g, n0, n1, h0, h1);
    if (rows.p0 < rows.p1) {
      product.each_product(rows, product.together(), [&](int64_t n) {
        const Tensor from = product.outputs(dy, rows, n, product.together()).to(type);
        Tensor to = product.windows(matrix, rows, n, product.together());
        if (product.last)
          at::bmm_out(to, from, filters);
        else
          at::bmm_out(to, filters.transpose(1, 2).expand({to.size(0), -1, -1}), from);
      });
    }
    if (matrix.is_same(dx)) return;
    const Argument from("matrix", matrix, Use::in), plus("bias", bias, Use::in);
    const Argument to("input gradient", dx, Use::inout);
    launch(op, [&] {
      cuda::col2im(g, rows, h0, h1, from.data(), data_type_of(type), plus.data(), to.data(),
                   current_stream(dy));
    });
  });
}

void im2col_weight_grad(const char* op, const ConvProblem& g, const Tensor& dy, const Tensor& x,
                        const Tensor& dw, const Tensor& db) {
  const Product product(g);
  const cuda::Blocks blocks = cuda::im2col_blocks(g, Direction::weight_grad);
  const at::ScalarType type = wide(x.scalar_type());
  const Tensor matrix = matrix_of(op, g, Direction::weight_grad, blocks, type, x);
  Tensor sums = at::zeros({product.groups, product.kg, product.depth}, x.options().dtype(type));
  each_block(g, blocks, g.output[0] * g.output[1], [&](auto n0, auto n1, auto p0, auto p1) {
    const Rows rows{n0, n1, p0, p1};
    lay_out(op, g, rows, x, matrix);
    product.each_product(rows, /*all=*/false, [&](int64_t n) {
      const Tensor from = product.outputs(dy, rows, n, false).to(type);
      const Tensor windows = product.windows(matrix, rows, n, false);
      if (product.last)
        sums.baddbmm_(from.transpose(1, 2), windows);
      else
        sums.baddbmm_(from, windows.transpose(1, 2));
    });
  });
  std::vector<int64_t> size = dw.sizes().vec();
  if (product.last) {
    std::rotate(size.begin() + 1, size.begin() + 2, size.end());
    dw.copy_(sums.view(size).movedim(-1, 1));
  } else {
    dw.copy_(sums.view(size));
  }
  if (db.defined()) {
    std::vector<int64_t> axes{0};
    for (int64_t axis = 2; axis < dy.dim(); ++axis) axes.push_back(axis);
    db.copy_(dy.sum(axes));
  }
}

}  // namespace cnnkern::ops
#endif
