// SPDX-License-Identifier: BSD-3-Clause
// A convolution whose result is added to another tensor before its ReLU, as residual networks do.
// Where a kernel adds as it stores (Backend::forward_added, which says whether it served), that is
// all. Else a few images are convolved at a time, and added to while they are in the cache.
#pragma once
#include <ATen/core/LegacyTypeDispatch.h>

#include "conv_operators.h"
#include "image_blocks.h"

namespace cnnkern::ops {

inline void add_residual(const Tensor& y, const Tensor& residual, bool relu) {
  y.add_(residual);
  if (relu) y.relu_();
}

template <class Backend>
Tensor conv_add(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                const Tensor& residual, IntArrayRef stride, IntArrayRef padding,
                IntArrayRef dilation, int64_t groups, bool relu, std::string_view algorithm) {
  const at::AutoDispatchBelowADInplaceOrView below;
  const ForwardCall<Backend> call(input, weight, bias, stride, padding, dilation, groups, relu,
                                  algorithm);
  check_residual<int64_t>(call.op, residual, input, call.shape);
  const Tensor& y = call.y;
  if (y.numel() == 0) return y;
  ConvProblem problem = call.problem;
  if (Backend::forward_added(call.op, problem, call.chosen, input, weight, call.bias, residual, y))
    return y;
  const int64_t images = problem.n,
                at_a_time = images_at_a_time(problem, problem.k * pixels_of(problem.output),
                                             Backend::kBlockBytes);
  problem.relu = false;
  for_each_block(images, at_a_time, [&](int64_t first, int64_t count) {
    problem.n = count;
    const Tensor part = y.narrow(0, first, count);
    Backend::forward(call.op, problem, call.chosen, input.narrow(0, first, count), weight,
                     call.bias, part);
    add_residual(part, residual.narrow(0, first, count), relu);
  });
  return y;
}

}  // namespace cnnkern::ops
