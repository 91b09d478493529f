// SPDX-License-Identifier: BSD-3-Clause
// Convolutions of an input whose surroundings are its own elements: reflected, repeated or from the
// other side. Kernels that can index them get the input as it is. The others get blocks of images,
// padded one block at a time; so does the input's gradient, which is folded back from a block of
// the padded input's: never is there a padded copy of the batch.
#pragma once
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/sum.h>

#include "conv_operators.h"
#include "image_blocks.h"

namespace cnnkern::ops {

// The same convolution of an input that is padded already.
inline ConvArguments<int64_t> of_padded_input(ConvArguments<int64_t> args) {
  for (int64_t i = 0; i < args.rank; ++i)
    args.input[i + 2] += args.padding[2 * i] + args.padding[2 * i + 1];
  std::fill(args.padding.begin(), args.padding.end(), 0);
  return args;
}

// An axis of a padded tensor: `before` elements, `size` of the input, `after` elements.
struct BorderAxis {
  int64_t dim, before, size, after;

  BorderAxis(const ConvArguments<int64_t>& a, int64_t i)
      : dim(i + 2), before(a.padding[2 * i]), size(a.input[i + 2]), after(a.padding[2 * i + 1]) {}

  Tensor inner(const Tensor& t) const { return t.narrow(dim, before, size); }
  Tensor head(const Tensor& t) const { return t.narrow(dim, 0, before); }
  Tensor tail(const Tensor& t) const { return t.narrow(dim, before + size, after); }
  // What the head and the tail repeat, in its own order.
  Tensor source_of_head(const Tensor& t, Border border) const {
    return border == Border::reflect    ? t.narrow(dim, before + 1, before)
           : border == Border::circular ? t.narrow(dim, size, before)
                                        : t.narrow(dim, before, 1);
  }
  Tensor source_of_tail(const Tensor& t, Border border) const {
    return border == Border::reflect    ? t.narrow(dim, before + size - 1 - after, after)
           : border == Border::circular ? t.narrow(dim, before, after)
                                        : t.narrow(dim, before + size - 1, 1);
  }
};

// Writes every element of `padded`: x in its middle, then the border, one axis after the other.
inline void fill_border(const ConvArguments<int64_t>& args, Border border, const Tensor& x,
                        const Tensor& padded) {
  std::vector<Tensor> views{padded};  // the last axes without their border
  for (int64_t i = args.rank - 1; i >= 0; --i)
    views.push_back(BorderAxis(args, i).inner(views.back()));
  views.back().copy_(x);
  views.pop_back();
  for (int64_t i = 0; i < args.rank; ++i, views.pop_back()) {
    const BorderAxis axis(args, i);
    const Tensor& t = views.back();
    const auto fill = [&](const Tensor& part, const Tensor& source) {
      part.copy_(border == Border::reflect     ? at::flip(source, axis.dim)
                 : border == Border::replicate ? source.expand_as(part)
                                               : source);
    };
    if (axis.before) fill(axis.head(t), axis.source_of_head(t, border));
    if (axis.after) fill(axis.tail(t), axis.source_of_tail(t, border));
  }
}

// The adjoint: adds each element of the border to the one that it repeats, in a fixed order, and
// gives the middle. Changes `padded`, unless it has 16 bits: those are added in float32.
inline Tensor folded(const ConvArguments<int64_t>& args, Border border, const Tensor& padded) {
  Tensor t = padded.element_size() == 2 ? padded.to(at::kFloat) : padded;
  for (int64_t i = args.rank - 1; i >= 0; --i) {
    const BorderAxis axis(args, i);
    const auto add = [&](const Tensor& part, const Tensor& source) {
      source.add_(border == Border::reflect     ? at::flip(part, axis.dim)
                  : border == Border::replicate ? at::sum(part, axis.dim, /*keepdim=*/true)
                                                : part);
    };
    if (axis.before) add(axis.head(t), axis.source_of_head(t, border));
    if (axis.after) add(axis.tail(t), axis.source_of_tail(t, border));
    t = axis.inner(t);
  }
  return t;
}

// A padded block of images, and how the rest of the batch follows.
struct PaddedBlocks {
  ConvProblem problem;
  int64_t images, at_a_time;
  Tensor scratch;

  template <class Backend>
  static PaddedBlocks of(const ConvArguments<int64_t>& args, const Tensor& like,
                         at::MemoryFormat format, bool bias, bool relu) {
    const auto padded = of_padded_input(args);
    PaddedBlocks b{make_problem(padded, data_type(like), format_of(format), bias, relu, false),
                   args.input[0], 0, Tensor()};
    b.at_a_time =
        images_at_a_time(b.problem, b.problem.c * pixels_of(b.problem.input), Backend::kBlockBytes);
    std::vector<int64_t> size = padded.input;
    size[0] = b.at_a_time;
    b.scratch = Backend::allocate(size, like.options(), format);
    return b;
  }
};

template <class Backend>
Tensor conv_border(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                   IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, int64_t groups,
                   bool relu, std::string_view padding_mode, std::string_view algorithm) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const ForwardCall<Backend> call(input, weight, bias, stride, padding, dilation, groups, relu,
                                  algorithm);
  const Border border = border_of(call.op, padding_mode);
  checked([&] { check_border(call.args, border); });
  if (call.y.numel() == 0) return call.y;
  if constexpr (Backend::kIndexesBorders) {
    Backend::forward(call.op, call.problem, call.chosen, input, weight, call.bias, call.y, border);
    return call.y;
  }
  auto blocks = PaddedBlocks::of<Backend>(call.args, input, call.format, call.bias.defined(), relu);
  for_each_block(blocks.images, blocks.at_a_time, [&](int64_t first, int64_t count) {
    blocks.problem.n = count;
    const Tensor padded = blocks.scratch.narrow(0, 0, count);
    fill_border(call.args, border, input.narrow(0, first, count), padded);
    Backend::forward(call.op, blocks.problem, call.chosen, padded, weight, call.bias,
                     call.y.narrow(0, first, count));
  });
  return call.y;
}

template <class Backend>
Tensor conv_border_input_grad(const Tensor& grad_output, const Tensor& weight,
                              IntArrayRef input_size, IntArrayRef stride, IntArrayRef padding,
                              IntArrayRef dilation, int64_t groups, std::string_view padding_mode,
                              std::string_view algorithm) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const char* const op = user_name(kConvInputGrad, grad_output.dim());
  const Border border = border_of(op, padding_mode);
  check_rank(op, "weight", weight.dim(), grad_output.dim());
  check_rank(op, "input_size", int64_t(input_size.size()), grad_output.dim());
  check_types(op, grad_output, "grad_output", weight, "weight");
  const auto args =
      conv_arguments<int64_t>(op, input_size, weight.sizes(), stride, padding, dilation, groups);
  checked([&] {
    check_input_grad(args, grad_output.sizes().vec());
    check_border(args, border);
  });
  const typename Backend::Guard on_device(grad_output);
  const auto format = memory_format(grad_output);
  const Tensor dx = Backend::allocate(input_size, grad_output.options(), format);
  if (dx.numel() == 0) return dx;
  if (weight.numel() == 0 || grad_output.numel() == 0) return dx.zero_();
  auto blocks = PaddedBlocks::of<Backend>(args, grad_output, format, false, false);
  const Algorithm chosen = checked([&] {
    return Backend::choose(blocks.problem, Direction::input_grad, std::string(algorithm),
                           grad_output);
  });
  for_each_block(blocks.images, blocks.at_a_time, [&](int64_t first, int64_t count) {
    blocks.problem.n = count;
    const Tensor padded = blocks.scratch.narrow(0, 0, count);
    Backend::input_grad(op, blocks.problem, chosen, grad_output.narrow(0, first, count), weight,
                        Tensor(), padded);
    dx.narrow(0, first, count).copy_(folded(args, border, padded));
  });
  return dx;
}

template <class Backend>
std::tuple<Tensor, Tensor> conv_border_weight_grad(const Tensor& grad_output, const Tensor& input,
                                                   IntArrayRef weight_size, IntArrayRef stride,
                                                   IntArrayRef padding, IntArrayRef dilation,
                                                   int64_t groups, bool bias_grad,
                                                   std::string_view padding_mode,
                                                   std::string_view algorithm) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const char* const op = user_name(kConvWeightGrad, input.dim());
  const Border border = border_of(op, padding_mode);
  check_rank(op, "grad_output", grad_output.dim(), input.dim());
  check_rank(op, "weight_size", int64_t(weight_size.size()), input.dim());
  check_types(op, input, "input", grad_output, "grad_output");
  const auto args =
      conv_arguments<int64_t>(op, input.sizes(), weight_size, stride, padding, dilation, groups);
  checked([&] {
    check_weight_grad(args, grad_output.sizes().vec());
    check_border(args, border);
  });
  const typename Backend::Guard on_device(input);
  const auto format = memory_format(input);
  const ConvProblem problem = make_problem(args, data_type(input), format_of(format), bias_grad,
                                           /*relu=*/false, /*transposed=*/false);
  const Algorithm chosen = checked([&] {
    return Backend::choose(problem, Direction::weight_grad, std::string(algorithm), input);
  });
  const Tensor dw = Backend::allocate(weight_size, input.options(), format);
  const Tensor db = at::empty({bias_grad ? weight_size[0] : 0}, input.options());
  if (grad_output.numel() == 0 || dw.numel() == 0) {
    dw.zero_();
    db.zero_();
    if (bias_grad && grad_output.numel() != 0) db.copy_(channel_sum(grad_output));
    return {dw, db};
  }
  if constexpr (Backend::kIndexesBorders) {
    Backend::weight_grad(op, problem, chosen, grad_output, input, dw, db, border);
    return {dw, db};
  }
  auto blocks = PaddedBlocks::of<Backend>(args, input, format, bias_grad, false);
  const bool one = blocks.at_a_time == blocks.images;
  BlockSum dw_sum(dw, one, format), db_sum(db, one, at::MemoryFormat::Contiguous);
  for_each_block(blocks.images, blocks.at_a_time, [&](int64_t first, int64_t count) {
    blocks.problem.n = count;
    const Tensor padded = blocks.scratch.narrow(0, 0, count);
    fill_border(args, border, input.narrow(0, first, count), padded);
    Backend::weight_grad(op, blocks.problem, chosen, grad_output.narrow(0, first, count), padded,
                         dw_sum.next(), db_sum.next());
    dw_sum.added();
    db_sum.added();
  });
  dw_sum.finish();
  db_sum.finish();
  return {dw, db};
}

template <class Backend>
void register_conv_border(torch::Library& m) {
  m.impl("conv_border", conv_border<Backend>);
  m.impl("conv_border_input_grad", conv_border_input_grad<Backend>);
  m.impl("conv_border_weight_grad", conv_border_weight_grad<Backend>);
}

}  // namespace cnnkern::ops
