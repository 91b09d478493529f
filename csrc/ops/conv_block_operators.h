// SPDX-License-Identifier: BSD-3-Clause
// Convolution, bias, ReLU and max pool as one operator, and its gradient, which never hold the
// convolution's whole result: blocks of images go through the kernels of both halves one after the
// other, over one piece of scratch. (One kernel for both needs none: Conv::forward_pooled, which
// says whether it served.) How many images a block has depends on the problem alone, so that sums
// over blocks have the same bits on any number of threads.
#pragma once
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/threshold_backward.h>

#include "conv_block_arguments.h"
#include "conv_operators.h"
#include "image_blocks.h"
#include "pool_operators.h"

namespace cnnkern::ops {

template <class Conv, class Pool>
std::tuple<Tensor, Tensor> conv_block(const Tensor& input, const Tensor& weight,
                                      const OptionalTensor& optional_bias, IntArrayRef stride,
                                      IntArrayRef padding, IntArrayRef dilation, int64_t groups,
                                      IntArrayRef pool_size, IntArrayRef pool_stride,
                                      IntArrayRef pool_padding, IntArrayRef pool_dilation,
                                      bool ceil_mode, bool relu, bool return_argmax,
                                      std::string_view algorithm) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const char* const op = user_name(kConvBlock, input.dim());
  const Tensor bias = optional_bias.value_or(Tensor());
  check_rank(op, "weight", weight.dim(), input.dim());
  check_types(op, input, "input", weight, "weight");
  const auto args = block_arguments<int64_t>(op, input.sizes(), weight.sizes(),
                                             {stride, padding, dilation, groups, pool_size,
                                              pool_stride, pool_padding, pool_dilation, ceil_mode});
  check_bias<int64_t>(op, bias, input, args.pool.input[1]);
  const typename Conv::Guard on_device(input);
  const auto format = memory_format(input);
  ConvProblem problem = make_problem(args.conv, data_type(input), format_of(format), bias.defined(),
                                     relu, /*transposed=*/false);
  PoolProblem pool = make_problem(args.pool, data_type(input), format_of(format));
  const Algorithm chosen = checked(
      [&] { return Conv::choose(problem, Direction::forward, std::string(algorithm), input); });
  const Tensor y = Pool::allocate(args.output, input.options(), format);
  const auto bytes = input.options().dtype(return_argmax ? argmax_type(taps_of(pool)) : at::kByte);
  const Tensor argmax =
      return_argmax ? Pool::allocate(args.output, bytes, format) : at::empty({0}, bytes);
  if (y.numel() == 0) return {y, argmax};
  const Tensor dense_bias = bias.defined() ? bias.contiguous() : bias;
  if (!return_argmax &&
      Conv::forward_pooled(op, problem, chosen, pool, input, weight, dense_bias, y))
    return {y, argmax};
  const int64_t images = problem.n,
                at_a_time = images_at_a_time(problem, problem.k * pixels_of(problem.output),
                                             Conv::kBlockBytes);
  const Tensor scratch =
      Conv::allocate(with_images(args.pool.input, at_a_time), input.options(), format);
  for_each_block(images, at_a_time, [&](int64_t first, int64_t count) {
    problem.n = pool.n = count;
    const Tensor between = scratch.narrow(0, 0, count);
    Conv::forward(op, problem, chosen, input.narrow(0, first, count), weight, dense_bias, between);
    Pool::max_pool(op, pool, between, y.narrow(0, first, count),
                   return_argmax ? argmax.narrow(0, first, count) : Tensor());
  });
  return {y, argmax};
}

template <class Conv, class Pool>
std::tuple<Tensor, Tensor, Tensor> conv_block_grad(
    const Tensor& grad_output, const OptionalTensor& input, const OptionalTensor& weight,
    const OptionalTensor& output, const Tensor& argmax, IntArrayRef input_size,
    IntArrayRef weight_size, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
    int64_t groups, IntArrayRef pool_size, IntArrayRef pool_stride, IntArrayRef pool_padding,
    IntArrayRef pool_dilation, bool ceil_mode, std::array<bool, 3> wanted,
    std::string_view algorithm) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const char* const op = user_name(kConvBlockGrad, int64_t(input_size.size()));
  const auto args = block_arguments<int64_t>(op, input_size, weight_size,
                                             {stride, padding, dilation, groups, pool_size,
                                              pool_stride, pool_padding, pool_dilation, ceil_mode});
  check_block_grad<int64_t>(op, args, grad_output, input, weight, output, wanted);
  const typename Conv::Guard on_device(grad_output);
  const auto format = memory_format(argmax);
  const auto options = grad_output.options();
  ConvProblem to_input = make_problem(args.conv, data_type(grad_output), format_of(format),
                                      /*bias=*/false, /*relu=*/false, /*transposed=*/false);
  ConvProblem to_weight = to_input;
  to_weight.bias = wanted[2];
  PoolProblem pool = make_problem(args.pool, data_type(grad_output), format_of(format));
  check_argmax(op, argmax, pool, args.output, grad_output);
  const auto choose = [&](const ConvProblem& problem, Direction direction) {
    return checked(
        [&] { return Conv::choose(problem, direction, std::string(algorithm), grad_output); });
  };
  const Algorithm by_input =
      wanted[0] ? choose(to_input, Direction::input_grad) : Algorithm::direct;
  const Algorithm by_weight =
      wanted[1] ? choose(to_weight, Direction::weight_grad) : Algorithm::direct;
  const auto empty = [&](bool asked, IntArrayRef size) {
    return asked ? Conv::allocate(size, options, format) : at::empty({0}, options);
  };
  const Tensor dx = empty(wanted[0], input_size), dw = empty(wanted[1], weight_size);
  const Tensor db = at::empty({wanted[2] ? weight_size[0] : 0}, options);
  if (grad_output.numel() == 0) {
    dw.zero_();
    db.zero_();
    return {dx, dw, db};
  }
  const int64_t images = to_input.n,
                at_a_time = images_at_a_time(to_input, to_input.k * pixels_of(to_input.output),
                                             Conv::kBlockBytes);
  BlockSum dw_sum(dw, at_a_time == images, format);
  BlockSum db_sum(db, at_a_time == images, at::MemoryFormat::Contiguous);
  const Tensor scratch = Conv::allocate(with_images(args.pool.input, at_a_time), options, format);
  for_each_block(images, at_a_time, [&](int64_t first, int64_t count) {
    to_input.n = to_weight.n = pool.n = count;
    const auto part = [&](const Tensor& t) { return t.narrow(0, first, count); };
    const Tensor between = scratch.narrow(0, 0, count);
    Tensor dy = part(grad_output);
    if (output.has_value()) dy = at::threshold_backward(dy, part(*output), 0);
    Pool::max_pool_grad(op, pool, dy.contiguous(format), part(argmax).contiguous(format), between);
    if (wanted[0]) Conv::input_grad(op, to_input, by_input, between, *weight, Tensor(), part(dx));
    if (wanted[1]) {
      Conv::weight_grad(op, to_weight, by_weight, between, part(*input), dw_sum.next(),
                        wanted[2] ? db_sum.next() : Tensor());
    } else if (wanted[2]) {
      const Tensor& to = db_sum.next();
      to.copy_(channel_sum(between, to.scalar_type()));
    }
    dw_sum.added();
    db_sum.added();
  });
  dw_sum.finish();
  db_sum.finish();
  return {dx, dw, db};
}

template <class Conv, class Pool>
void register_conv_block(torch::Library& m) {
  m.impl("conv_block", conv_block<Conv, Pool>);
  m.impl("conv_block_grad", conv_block_grad<Conv, Pool>);
}

}  // namespace cnnkern::ops
