// SPDX-License-Identifier: BSD-3-Clause
// Max unpooling and its gradient, the same steps on every device. A Backend has what
// pool_operators.h says, and a function for each of the two.
#pragma once
#include <torch/library.h>

#include "../problem/unpool_problem.h"
#include "unpool_arguments.h"

namespace cnnkern::ops {

using at::IntArrayRef;

inline int64_t elements_of_plane(IntArrayRef shape) {
  return c10::multiply_integers(shape.slice(2));
}

// Of a tensor with its first two sizes; in and out are planes.
inline UnpoolProblem unpool_problem(const char* op, const Tensor& like, at::MemoryFormat format,
                                    int64_t input, int64_t output) {
  const bool planes = format == at::MemoryFormat::Contiguous;
  const int64_t n = like.size(0), c = like.size(1);
  return {op, planes ? n * c : n, planes ? 1 : c, input, output, data_type(like)};
}

template <class Backend>
Tensor max_unpool(const Tensor& input, const Tensor& indices, IntArrayRef output_size) {
  const char* const op = user_name(kMaxUnpool, input.dim());
  const auto shape = checked_unpool<int64_t>(op, input, indices, output_size);
  const typename Backend::Guard on_device(input);
  const auto format = memory_format(input);
  const Tensor y = Backend::allocate(shape, input.options(), format);
  if (y.numel() == 0) return y;
  const auto problem =
      unpool_problem(op, input, format, elements_of_plane(input.sizes()), elements_of_plane(shape));
  Backend::max_unpool(problem, input.contiguous(format), indices.contiguous(format), y);
  return y;
}

template <class Backend>
Tensor max_unpool_grad(const Tensor& grad_output, const Tensor& indices) {
  const char* const op = user_name(kMaxUnpool, grad_output.dim());
  checked_unpool_grad<int64_t>(op, grad_output, indices);
  const typename Backend::Guard on_device(grad_output);
  const auto format = memory_format(grad_output);
  const Tensor dx = Backend::allocate(indices.sizes(), grad_output.options(), format);
  if (dx.numel() == 0) return dx;
  if (grad_output.numel() == 0) return dx.zero_();
  const auto problem = unpool_problem(op, grad_output, format, elements_of_plane(indices.sizes()),
                                      elements_of_plane(grad_output.sizes()));
  Backend::max_unpool_grad(problem, grad_output.contiguous(format), indices.contiguous(format), dx);
  return dx;
}

template <class Backend>
void register_unpool(torch::Library& m) {
  m.impl("max_unpool", max_unpool<Backend>);
  m.impl("max_unpool_grad", max_unpool_grad<Backend>);
}

}  // namespace cnnkern::ops
