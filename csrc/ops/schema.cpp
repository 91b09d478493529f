// SPDX-License-Identifier: BSD-3-Clause
// Every operator's schema. Tensors are batched; stride, dilation and kernel_size hold one value an
// axis, padding two: (before, after). algorithm is "auto" or a name that must serve.
#include <torch/library.h>

TORCH_LIBRARY(cnnkern, m) {
  // Each of the three convolutions is bilinear, and the derivatives of each are the other two.
  m.def(
      "conv(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, "
      "SymInt[] dilation, SymInt groups, bool relu, str algorithm) -> Tensor");
  m.def(
      "conv_input_grad(Tensor grad_output, Tensor weight, Tensor? bias, SymInt[] input_size, "
      "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, bool relu, "
      "str algorithm) -> Tensor");
  // The second result has size 0 unless bias_grad.
  m.def(
      "conv_weight_grad(Tensor grad_output, Tensor input, SymInt[] weight_size, SymInt[] stride, "
      "SymInt[] padding, SymInt[] dilation, SymInt groups, bool bias_grad, str algorithm) -> "
      "(Tensor, Tensor)");

  // The result plus residual, which has its shape; then the ReLU.
  m.def(
      "conv_add(Tensor input, Tensor weight, Tensor? bias, Tensor residual, SymInt[] stride, "
      "SymInt[] padding, SymInt[] dilation, SymInt groups, bool relu, str algorithm) -> Tensor");

  // The same three with what surrounds the input taken from it: padding_mode is reflect, replicate
  // or circular.
  m.def(
      "conv_border(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, "
      "SymInt[] dilation, SymInt groups, bool relu, str padding_mode, str algorithm) -> Tensor");
  m.def(
      "conv_border_input_grad(Tensor grad_output, Tensor weight, SymInt[] input_size, "
      "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, str padding_mode, "
      "str algorithm) -> Tensor");
  m.def(
      "conv_border_weight_grad(Tensor grad_output, Tensor input, SymInt[] weight_size, "
      "SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, bool bias_grad, "
      "str padding_mode, str algorithm) -> (Tensor, Tensor)");

  // Convolution and the max pool over its result, which is never there as a whole.
  m.def(
      "conv_block(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, "
      "SymInt[] dilation, SymInt groups, SymInt[] pool_size, SymInt[] pool_stride, "
      "SymInt[] pool_padding, SymInt[] pool_dilation, bool ceil_mode, bool relu, "
      "bool return_argmax, str algorithm) -> (Tensor, Tensor)");
  // The gradients of input, weight and bias; of size 0 unless wanted. weight is needed for the
  // first, input for the second; output is given where a ReLU was fused.
  m.def(
      "conv_block_grad(Tensor grad_output, Tensor? input, Tensor? weight, Tensor? output, "
      "Tensor argmax, SymInt[] input_size, SymInt[] weight_size, SymInt[] stride, "
      "SymInt[] padding, SymInt[] dilation, SymInt groups, SymInt[] pool_size, "
      "SymInt[] pool_stride, SymInt[] pool_padding, SymInt[] pool_dilation, bool ceil_mode, "
      "bool[3] wanted, str algorithm) -> (Tensor, Tensor, Tensor)");

  // With an output_size the windows are those of an adaptive pool; the other lists are empty then.
  // The second result, of size 0 unless return_argmax, holds the winning tap of each window.
  m.def(
      "max_pool(Tensor input, SymInt[] kernel_size, SymInt[] stride, SymInt[] padding, "
      "SymInt[] dilation, bool ceil_mode, bool return_argmax, "
      "SymInt[] output_size) -> (Tensor, Tensor)");
  m.def(
      "max_pool_grad(Tensor grad_output, Tensor argmax, SymInt[] input_size, "
      "SymInt[] kernel_size, SymInt[] stride, SymInt[] padding, SymInt[] dilation, "
      "bool ceil_mode, SymInt[] output_size) -> Tensor");
  m.def(
      "max_pool_gather(Tensor input, Tensor argmax, SymInt[] kernel_size, SymInt[] stride, "
      "SymInt[] padding, SymInt[] dilation, bool ceil_mode, SymInt[] output_size) -> Tensor");
  m.def(
      "max_pool_indices(Tensor argmax, SymInt[] input_size, SymInt[] kernel_size, "
      "SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool ceil_mode, SymInt[] "
      "output_size) -> Tensor");
  // A divisor of 0 means: the number of taps.
  m.def(
      "avg_pool(Tensor input, SymInt[] kernel_size, SymInt[] stride, SymInt[] padding, "
      "bool ceil_mode, bool count_include_pad, SymInt divisor, "
      "SymInt[] output_size) -> Tensor");
  m.def(
      "avg_pool_grad(Tensor grad_output, SymInt[] input_size, SymInt[] kernel_size, "
      "SymInt[] stride, SymInt[] padding, bool ceil_mode, bool count_include_pad, "
      "SymInt divisor, SymInt[] output_size) -> Tensor");

  // indices count elements of a plane, row by row; output_size holds a plane's sizes.
  m.def("max_unpool(Tensor input, Tensor indices, SymInt[] output_size) -> Tensor");
  m.def("max_unpool_grad(Tensor grad_output, Tensor indices) -> Tensor");
}
