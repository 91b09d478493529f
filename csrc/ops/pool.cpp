// SPDX-License-Identifier: BSD-3-Clause
// The pools on the CPU: check, allocate, run.
#include "../cpu/pool.h"

#include <torch/library.h>

#include "arguments.h"
#include "output.h"

namespace cnnkern::ops {
namespace {

using at::IntArrayRef;

struct Pooling {
  PoolProblem problem;
  std::vector<int64_t> output;
  at::MemoryFormat format;
};

Pooling pooling(const PoolArguments<int64_t>& args, const Tensor& like) {
  Pooling pool;
  pool.output = checked([&] { return pool_output_shape(args); });
  pool.format = memory_format(like);
  pool.problem = make_problem(args, data_type(like), format_of(pool.format));
  return pool;
}

PoolArguments<int64_t> max_arguments(IntArrayRef input, IntArrayRef kernel, IntArrayRef stride,
                                     IntArrayRef padding, IntArrayRef dilation, bool ceil_mode) {
  return pool_arguments<int64_t>(PoolKind::max, input, kernel, stride, padding, dilation, ceil_mode,
                                 false, 0);
}
PoolArguments<int64_t> avg_arguments(IntArrayRef input, IntArrayRef kernel, IntArrayRef stride,
                                     IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                                     int64_t divisor) {
  const std::vector<int64_t> dilation(input.size() > 2 ? input.size() - 2 : 0, 1);
  return pool_arguments<int64_t>(PoolKind::avg, input, kernel, stride, padding, dilation, ceil_mode,
                                 count_include_pad, divisor);
}

void check_argmax(const char* op, const Tensor& argmax, const PoolProblem& problem,
                  IntArrayRef shape) {
  const auto type = argmax_type(taps_of(problem));
  TORCH_CHECK(argmax.scalar_type() == type && argmax.sizes() == shape, op,
              ": expected argmax of shape ", shape, " and dtype ", c10::getDtypeNames(type).first,
              ", got ", argmax.sizes(), " and ", dtype_name(argmax));
}

std::tuple<Tensor, Tensor> max_pool(const Tensor& input, IntArrayRef kernel, IntArrayRef stride,
                                    IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                    bool return_argmax) {
  const auto args = max_arguments(input.sizes(), kernel, stride, padding, dilation, ceil_mode);
  check_types(args.op, input, "input", {}, "");
  const Pooling pool = pooling(args, input);
  const Tensor y = allocate(pool.output, input.options(), pool.format);
  const auto bytes =
      input.options().dtype(return_argmax ? argmax_type(taps_of(pool.problem)) : at::kByte);
  const Tensor argmax =
      return_argmax ? allocate(pool.output, bytes, pool.format) : at::empty({0}, bytes);
  if (y.numel() == 0) return {y, argmax};
  const Tensor x = input.contiguous(pool.format);
  run(args.op, [&] {
    cpu::max_pool(pool.problem, x.const_data_ptr(), y.mutable_data_ptr(),
                  return_argmax ? argmax.mutable_data_ptr() : nullptr, parallel_for());
  });
  return {y, argmax};
}

Tensor max_pool_grad(const Tensor& grad_output, const Tensor& argmax, IntArrayRef input_size,
                     IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef dilation, bool ceil_mode) {
  const auto args = max_arguments(input_size, kernel, stride, padding, dilation, ceil_mode);
  check_types(args.op, grad_output, "grad_output", {}, "");
  check_rank(args.op, "grad_output", grad_output.dim(), int64_t(input_size.size()));
  const Pooling pool = pooling(args, grad_output);
  TORCH_CHECK(grad_output.sizes() == pool.output, args.op, ": expected grad_output of shape ",
              IntArrayRef(pool.output), ", got ", grad_output.sizes());
  check_argmax(args.op, argmax, pool.problem, pool.output);
  const Tensor dx = allocate(input_size, grad_output.options(), pool.format);
  if (dx.numel() == 0) return dx;
  if (grad_output.numel() == 0) return dx.zero_();
  const Tensor dy = grad_output.contiguous(pool.format), taps = argmax.contiguous(pool.format);
  run(args.op, [&] {
    cpu::max_pool_grad(pool.problem, dy.const_data_ptr(), taps.const_data_ptr(),
                       dx.mutable_data_ptr(), parallel_for());
  });
  return dx;
}

Tensor max_pool_gather(const Tensor& input, const Tensor& argmax, IntArrayRef kernel,
                       IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                       bool ceil_mode) {
  const auto args = max_arguments(input.sizes(), kernel, stride, padding, dilation, ceil_mode);
  check_types(args.op, input, "input", {}, "");
  const Pooling pool = pooling(args, input);
  check_argmax(args.op, argmax, pool.problem, pool.output);
  const Tensor y = allocate(pool.output, input.options(), pool.format);
  if (y.numel() == 0) return y;
  const Tensor x = input.contiguous(pool.format), taps = argmax.contiguous(pool.format);
  run(args.op, [&] {
    cpu::max_pool_gather(pool.problem, x.const_data_ptr(), taps.const_data_ptr(),
                         y.mutable_data_ptr(), parallel_for());
  });
  return y;
}

Tensor max_pool_indices(const Tensor& argmax, IntArrayRef input_size, IntArrayRef kernel,
                        IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                        bool ceil_mode) {
  const auto args = max_arguments(input_size, kernel, stride, padding, dilation, ceil_mode);
  const Pooling pool = pooling(args, argmax);
  check_argmax(args.op, argmax, pool.problem, pool.output);
  const Tensor indices = allocate(pool.output, argmax.options().dtype(at::kLong), pool.format);
  if (indices.numel() == 0) return indices;
  const Tensor taps = argmax.contiguous(pool.format);
  run(args.op, [&] {
    cpu::max_pool_indices(pool.problem, taps.const_data_ptr(), indices.mutable_data_ptr<int64_t>(),
                          parallel_for());
  });
  return indices;
}

Tensor avg_pool(const Tensor& input, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                bool ceil_mode, bool count_include_pad, int64_t divisor) {
  const auto args =
      avg_arguments(input.sizes(), kernel, stride, padding, ceil_mode, count_include_pad, divisor);
  check_types(args.op, input, "input", {}, "");
  const Pooling pool = pooling(args, input);
  const Tensor y = allocate(pool.output, input.options(), pool.format);
  if (y.numel() == 0) return y;
  const Tensor x = input.contiguous(pool.format);
  run(args.op, [&] {
    cpu::avg_pool(pool.problem, x.const_data_ptr(), y.mutable_data_ptr(), parallel_for());
  });
  return y;
}

Tensor avg_pool_grad(const Tensor& grad_output, IntArrayRef input_size, IntArrayRef kernel,
                     IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                     bool count_include_pad, int64_t divisor) {
  const auto args =
      avg_arguments(input_size, kernel, stride, padding, ceil_mode, count_include_pad, divisor);
  check_types(args.op, grad_output, "grad_output", {}, "");
  check_rank(args.op, "grad_output", grad_output.dim(), int64_t(input_size.size()));
  const Pooling pool = pooling(args, grad_output);
  TORCH_CHECK(grad_output.sizes() == pool.output, args.op, ": expected grad_output of shape ",
              IntArrayRef(pool.output), ", got ", grad_output.sizes());
  const Tensor dx = allocate(input_size, grad_output.options(), pool.format);
  if (dx.numel() == 0) return dx;
  if (grad_output.numel() == 0) return dx.zero_();
  const Tensor dy = grad_output.contiguous(pool.format);
  run(args.op, [&] {
    cpu::avg_pool_grad(pool.problem, dy.const_data_ptr(), dx.mutable_data_ptr(), parallel_for());
  });
  return dx;
}

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) {
  m.impl("max_pool", max_pool);
  m.impl("max_pool_grad", max_pool_grad);
  m.impl("max_pool_gather", max_pool_gather);
  m.impl("max_pool_indices", max_pool_indices);
  m.impl("avg_pool", avg_pool);
  m.impl("avg_pool_grad", avg_pool_grad);
}

}  // namespace
}  // namespace cnnkern::ops
