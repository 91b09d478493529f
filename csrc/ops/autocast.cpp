// SPDX-License-Identifier: BSD-3-Clause
// Under torch.autocast convolutions run in its lower precision, as torch's own do; pools keep the
// type of their input. Gradients are computed in the types that the forward pass saved.
#include <ATen/autocast_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/relu.h>
#include <torch/library.h>

#include "call_block.h"

namespace cnnkern::ops {
namespace {

constexpr c10::DispatchKey key_of(c10::DeviceType device) {
  return device == c10::DeviceType::CUDA ? c10::DispatchKey::Autocast
                                         : c10::DispatchKey::AutocastCPU;
}

template <c10::DeviceType device>
Tensor cast(const Tensor& t) {
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), t, device);
}
template <c10::DeviceType device>
OptionalTensor cast(const OptionalTensor& t) {
  return t.has_value() ? OptionalTensor(cast<device>(*t)) : t;
}

template <c10::DeviceType device>
Tensor conv(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, SymInts stride,
            SymInts padding, SymInts dilation, c10::SymInt groups, bool relu,
            std::string_view algorithm) {
  const c10::impl::ExcludeDispatchKeyGuard once(key_of(device));
  return call_conv(cast<device>(input), cast<device>(weight), cast<device>(bias), relu,
                   {stride, padding, dilation, std::move(groups), algorithm});
}

// A residual of another precision is added as torch adds it, after the convolution.
template <c10::DeviceType device>
Tensor conv_add(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                const Tensor& residual, SymInts stride, SymInts padding, SymInts dilation,
                c10::SymInt groups, bool relu, std::string_view algorithm) {
  const c10::impl::ExcludeDispatchKeyGuard once(key_of(device));
  const ConvGeometry geometry{stride, padding, dilation, std::move(groups), algorithm};
  const Tensor x = cast<device>(input), w = cast<device>(weight);
  const OptionalTensor b = cast<device>(bias);
  if (residual.scalar_type() == x.scalar_type())
    return call_conv_add(x, w, b, residual, relu, geometry);
  const Tensor y = at::add(call_conv(x, w, b, false, geometry), residual);
  return relu ? at::relu(y) : y;
}

template <c10::DeviceType device>
Tensor conv_input_grad(const Tensor& grad_output, const Tensor& weight, const OptionalTensor& bias,
                       SymInts input_size, SymInts stride, SymInts padding, SymInts dilation,
                       c10::SymInt groups, bool relu, std::string_view algorithm) {
  const c10::impl::ExcludeDispatchKeyGuard once(key_of(device));
  return call_conv_input_grad(cast<device>(grad_output), cast<device>(weight), cast<device>(bias),
                              input_size, relu,
                              {stride, padding, dilation, std::move(groups), algorithm});
}

template <c10::DeviceType device>
std::tuple<Tensor, Tensor> conv_block(const Tensor& input, const Tensor& weight,
                                      const OptionalTensor& bias, SymInts stride, SymInts padding,
                                      SymInts dilation, c10::SymInt groups, SymInts pool_size,
                                      SymInts pool_stride, SymInts pool_padding,
                                      SymInts pool_dilation, bool ceil_mode, bool relu,
                                      bool return_argmax, std::string_view algorithm) {
  const c10::impl::ExcludeDispatchKeyGuard once(key_of(device));
  return call_conv_block(cast<device>(input), cast<device>(weight), cast<device>(bias), relu,
                         return_argmax,
                         {{stride, padding, dilation, std::move(groups), algorithm},
                          {pool_size, pool_stride, pool_padding, pool_dilation, ceil_mode}});
}

template <c10::DeviceType device>
Tensor conv_border(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                   SymInts stride, SymInts padding, SymInts dilation, c10::SymInt groups, bool relu,
                   std::string_view padding_mode, std::string_view algorithm) {
  const c10::impl::ExcludeDispatchKeyGuard once(key_of(device));
  return call_conv_border(cast<device>(input), cast<device>(weight), cast<device>(bias), relu,
                          {stride, padding, dilation, std::move(groups), algorithm,
                           border_of(user_name(kConv, input.dim()), padding_mode)});
}

TORCH_LIBRARY_IMPL(cnnkern, AutocastCPU, m) {
  m.impl("conv_border", conv_border<c10::DeviceType::CPU>);
  m.impl("conv_block", conv_block<c10::DeviceType::CPU>);
  m.impl("conv", conv<c10::DeviceType::CPU>);
  m.impl("conv_add", conv_add<c10::DeviceType::CPU>);
  m.impl("conv_input_grad", conv_input_grad<c10::DeviceType::CPU>);
}
TORCH_LIBRARY_IMPL(cnnkern, Autocast, m) {
  m.impl("conv_border", conv_border<c10::DeviceType::CUDA>);
  m.impl("conv_block", conv_block<c10::DeviceType::CUDA>);
  m.impl("conv", conv<c10::DeviceType::CUDA>);
  m.impl("conv_add", conv_add<c10::DeviceType::CUDA>);
  m.impl("conv_input_grad", conv_input_grad<c10::DeviceType::CUDA>);
}

}  // namespace
}  // namespace cnnkern::ops
