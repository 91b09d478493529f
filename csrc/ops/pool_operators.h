// SPDX-License-Identifier: BSD-3-Clause
// The pools, the same steps on every device: check, guard the device, allocate, run. A Backend has
// Guard(tensor), Backend::allocate(sizes, options, format), and a function for each operator, which
// takes dense tensors in the problem's format that are not empty.
#pragma once
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "arguments.h"

namespace cnnkern::ops {

using at::IntArrayRef;

struct Pooling {
  PoolProblem problem;
  std::vector<int64_t> output;
  at::MemoryFormat format;
};

inline Pooling pooling(const PoolArguments<int64_t>& args, const Tensor& like) {
  Pooling pool;
  pool.output = checked([&] { return pool_output_shape(args); });
  pool.format = memory_format(like);
  pool.problem = make_problem(args, data_type(like), format_of(pool.format));
  return pool;
}

inline PoolArguments<int64_t> max_arguments(IntArrayRef input, IntArrayRef kernel,
                                            IntArrayRef stride, IntArrayRef padding,
                                            IntArrayRef dilation, bool ceil_mode,
                                            IntArrayRef output_size) {
  return pool_arguments<int64_t>(PoolKind::max, input, kernel, stride, padding, dilation, ceil_mode,
                                 false, 0, output_size);
}
inline PoolArguments<int64_t> avg_arguments(IntArrayRef input, IntArrayRef kernel,
                                            IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                            bool count_include_pad, int64_t divisor,
                                            IntArrayRef output_size) {
  const std::vector<int64_t> dilation(kernel.size(), 1);
  return pool_arguments<int64_t>(PoolKind::avg, input, kernel, stride, padding, dilation, ceil_mode,
                                 count_include_pad, divisor, output_size);
}

inline void check_argmax(const char* op, const Tensor& argmax, const PoolProblem& problem,
                         IntArrayRef shape, const Tensor& like) {
  TORCH_CHECK(argmax.device() == like.device(), op, ": expected argmax on the device of the other ",
              "tensor, ", like.device(), ", got ", argmax.device());
  const auto type = argmax_type(taps_of(problem));
  TORCH_CHECK(argmax.scalar_type() == type && argmax.sizes() == shape, op,
              ": expected argmax of shape ", shape, " and dtype ", c10::getDtypeNames(type).first,
              ", got ", argmax.sizes(), " and ", dtype_name(argmax));
}

template <class Backend>
std::tuple<Tensor, Tensor> max_pool(const Tensor& input, IntArrayRef kernel, IntArrayRef stride,
                                    IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                    bool return_argmax, IntArrayRef output_size) {
  const auto args =
      max_arguments(input.sizes(), kernel, stride, padding, dilation, ceil_mode, output_size);
  check_types(args.op, input, "input", {}, "");
  const typename Backend::Guard on_device(input);
  const Pooling pool = pooling(args, input);
  const Tensor y = Backend::allocate(pool.output, input.options(), pool.format);
  const auto bytes =
      input.options().dtype(return_argmax ? argmax_type(taps_of(pool.problem)) : at::kByte);
  const Tensor argmax =
      return_argmax ? Backend::allocate(pool.output, bytes, pool.format) : at::empty({0}, bytes);
  if (y.numel() == 0) return {y, argmax};
  const Tensor x = input.contiguous(pool.format);
  Backend::max_pool(args.op, pool.problem, x, y, return_argmax ? argmax : Tensor());
  return {y, argmax};
}

template <class Backend>
Tensor max_pool_grad(const Tensor& grad_output, const Tensor& argmax, IntArrayRef input_size,
                     IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef dilation, bool ceil_mode, IntArrayRef output_size) {
  const auto args =
      max_arguments(input_size, kernel, stride, padding, dilation, ceil_mode, output_size);
  check_types(args.op, grad_output, "grad_output", {}, "");
  check_rank(args.op, "grad_output", grad_output.dim(), int64_t(input_size.size()));
  const typename Backend::Guard on_device(grad_output);
  const Pooling pool = pooling(args, grad_output);
  TORCH_CHECK(grad_output.sizes() == pool.output, args.op, ": expected grad_output of shape ",
              IntArrayRef(pool.output), ", got ", grad_output.sizes());
  check_argmax(args.op, argmax, pool.problem, pool.output, grad_output);
  const Tensor dx = Backend::allocate(input_size, grad_output.options(), pool.format);
  if (dx.numel() == 0) return dx;
  if (grad_output.numel() == 0) return dx.zero_();
  const Tensor dy = grad_output.contiguous(pool.format), taps = argmax.contiguous(pool.format);
  Backend::max_pool_grad(args.op, pool.problem, dy, taps, dx);
  return dx;
}

template <class Backend>
Tensor max_pool_gather(const Tensor& input, const Tensor& argmax, IntArrayRef kernel,
                       IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                       bool ceil_mode, IntArrayRef output_size) {
  const auto args =
      max_arguments(input.sizes(), kernel, stride, padding, dilation, ceil_mode, output_size);
  check_types(args.op, input, "input", {}, "");
  const typename Backend::Guard on_device(input);
  const Pooling pool = pooling(args, input);
  check_argmax(args.op, argmax, pool.problem, pool.output, input);
  const Tensor y = Backend::allocate(pool.output, input.options(), pool.format);
  if (y.numel() == 0) return y;
  const Tensor x = input.contiguous(pool.format), taps = argmax.contiguous(pool.format);
  Backend::max_pool_gather(args.op, pool.problem, x, taps, y);
  return y;
}

template <class Backend>
Tensor max_pool_indices(const Tensor& argmax, IntArrayRef input_size, IntArrayRef kernel,
                        IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                        bool ceil_mode, IntArrayRef output_size) {
  const auto args =
      max_arguments(input_size, kernel, stride, padding, dilation, ceil_mode, output_size);
  const typename Backend::Guard on_device(argmax);
  const Pooling pool = pooling(args, argmax);
  check_argmax(args.op, argmax, pool.problem, pool.output, argmax);
  const Tensor indices =
      Backend::allocate(pool.output, argmax.options().dtype(at::kLong), pool.format);
  if (indices.numel() == 0) return indices;
  const Tensor taps = argmax.contiguous(pool.format);
  Backend::max_pool_indices(args.op, pool.problem, taps, indices);
  return indices;
}

template <class Backend>
Tensor avg_pool(const Tensor& input, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                bool ceil_mode, bool count_include_pad, int64_t divisor, IntArrayRef output_size) {
  const auto args = avg_arguments(input.sizes(), kernel, stride, padding, ceil_mode,
                                  count_include_pad, divisor, output_size);
  check_types(args.op, input, "input", {}, "");
  const typename Backend::Guard on_device(input);
  const Pooling pool = pooling(args, input);
  const Tensor y = Backend::allocate(pool.output, input.options(), pool.format);
  if (y.numel() == 0) return y;
  Backend::avg_pool(args.op, pool.problem, input.contiguous(pool.format), y);
  return y;
}

template <class Backend>
Tensor avg_pool_grad(const Tensor& grad_output, IntArrayRef input_size, IntArrayRef kernel,
                     IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                     bool count_include_pad, int64_t divisor, IntArrayRef output_size) {
  const auto args = avg_arguments(input_size, kernel, stride, padding, ceil_mode, count_include_pad,
                                  divisor, output_size);
  check_types(args.op, grad_output, "grad_output", {}, "");
  check_rank(args.op, "grad_output", grad_output.dim(), int64_t(input_size.size()));
  const typename Backend::Guard on_device(grad_output);
  const Pooling pool = pooling(args, grad_output);
  TORCH_CHECK(grad_output.sizes() == pool.output, args.op, ": expected grad_output of shape ",
              IntArrayRef(pool.output), ", got ", grad_output.sizes());
  const Tensor dx = Backend::allocate(input_size, grad_output.options(), pool.format);
  if (dx.numel() == 0) return dx;
  if (grad_output.numel() == 0) return dx.zero_();
  const Tensor dy = grad_output.contiguous(pool.format);
  Backend::avg_pool_grad(args.op, pool.problem, dy, dx);
  return dx;
}

template <class Backend>
void register_pool(torch::Library& m) {
  m.impl("max_pool", max_pool<Backend>);
  m.impl("max_pool_grad", max_pool_grad<Backend>);
  m.impl("max_pool_gather", max_pool_gather<Backend>);
  m.impl("max_pool_indices", max_pool_indices<Backend>);
  m.impl("avg_pool", avg_pool<Backend>);
  m.impl("avg_pool_grad", avg_pool_grad<Backend>);
}

}  // namespace cnnkern::ops
