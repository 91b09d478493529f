// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of a convolution block. Its gradient is one operator too; where that is itself to be
// differentiated, it is built from the operators of which each has derivatives of every order.
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/library.h>

#include "call_block.h"
#include "conv_block_arguments.h"
#include "traced_node.h"

namespace cnnkern::ops {
namespace {

using Wanted = std::array<bool, 3>;

struct StoredGeometry {
  std::vector<c10::SymInt> stride, padding, dilation;
  c10::SymInt groups;
  std::string algorithm;
  std::vector<c10::SymInt> pool_size, pool_stride, pool_padding, pool_dilation;
  bool ceil_mode = false;

  StoredGeometry() = default;
  explicit StoredGeometry(const BlockGeometry& g)
      : stride(g.conv.stride.vec()),
        padding(g.conv.padding.vec()),
        dilation(g.conv.dilation.vec()),
        groups(g.conv.groups),
        algorithm(g.conv.algorithm),
        pool_size(g.pool.kernel.vec()),
        pool_stride(g.pool.stride.vec()),
        pool_padding(g.pool.padding.vec()),
        pool_dilation(g.pool.dilation.vec()),
        ceil_mode(g.pool.ceil_mode) {}
  operator BlockGeometry() const {
    return {{stride, padding, dilation, groups, algorithm},
            {pool_size, pool_stride, pool_padding, pool_dilation, ceil_mode}};
  }
};

OptionalTensor optional(const Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; }

struct ConvBlockBackward final : TracedNode<ConvBlockBackward> {
  StoredGeometry geometry;
  SavedVariable input, weight, output, argmax;  // output: of a fused ReLU
  std::vector<c10::SymInt> input_size, weight_size;

  ConvBlockBackward() = default;
  explicit ConvBlockBackward(const BlockGeometry& geometry) : geometry(geometry) {}

  std::string name() const override { return "CnnkernConvBlockBackward"; }
  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    input.reset_data();
    weight.reset_data();
    output.reset_data();
    argmax.reset_data();
  }
  template <class Each>
  void visit(Each&& each) {
    each(geometry.stride), each(geometry.padding), each(geometry.dilation);
    each(geometry.groups), each(geometry.algorithm);
    each(geometry.pool_size), each(geometry.pool_stride), each(geometry.pool_padding);
    each(geometry.pool_dilation), each(geometry.ceil_mode);
    each(input), each(weight), each(output), each(argmax), each(input_size), each(weight_size);
  }
  variable_list backward(const variable_list& grads) {
    variable_list result(3);
    Wanted wanted;
    for (size_t i = 0; i < 3; ++i) wanted[i] = wants(i);
    if (!grads[0].defined() || !(wanted[0] || wanted[1] || wanted[2])) return result;
    const BlockOperands of{wanted[1] ? optional(input.unpack()) : std::nullopt,
                           wanted[0] ? optional(weight.unpack()) : std::nullopt,
                           optional(output.unpack()),
                           argmax.unpack(),
                           input_size,
                           weight_size};
    auto [dx, dw, db] = call_conv_block_grad(grads[0], of, wanted, geometry);
    if (wanted[0]) result[0] = dx;
    if (wanted[1]) result[1] = dw;
    if (wanted[2]) result[2] = db;
    return result;
  }
};

// Input and weight are saved for each other's gradient.
NodePtr record(const Tensor& input, const Tensor& weight, const Tensor& bias,
               const BlockGeometry& geometry) {
  if (!torch::autograd::compute_requires_grad(input, weight, bias)) return {};
  auto* node = new ConvBlockBackward(geometry);
  NodePtr owner = own(node);
  node->set_next_edges(torch::autograd::collect_next_edges(input, weight, bias));
  if (node->should_compute_output(0)) node->weight = SavedVariable(weight, false);
  if (node->should_compute_output(1)) node->input = SavedVariable(input, false);
  node->input_size = input.sym_sizes().vec();
  node->weight_size = weight.sym_sizes().vec();
  return owner;
}

// What the convolution's result moves by.
Tensor tangent_between(const Tensor& input, const Tensor& weight, const Tensor& bias,
                       SymInts between, const ConvGeometry& geometry) {
  OptionalTensor bias_tangent = has_tangent(bias) ? optional(tangent(bias)) : std::nullopt;
  Tensor t;
  if (has_tangent(input)) {
    t = call_conv(tangent(input), primal(weight), bias_tangent, false, geometry);
    bias_tangent.reset();
  }
  if (has_tangent(weight)) {
    const Tensor u = call_conv(primal(input), tangent(weight), bias_tangent, false, geometry);
    t = t.defined() ? at::add(t, u) : u;
  }
  if (t.defined()) return t;
  std::vector<c10::SymInt> column(between.size(), 1);
  column[1] = between[1];
  return bias_tangent->view_symint(column).expand_symint(between).contiguous();
}

BlockArguments<c10::SymInt> arguments_of(const char* op, SymInts input_size, SymInts weight_size,
                                         const BlockGeometry& g) {
  return block_arguments<c10::SymInt>(
      op, input_size, weight_size,
      {g.conv.stride, g.conv.padding, g.conv.dilation, g.conv.groups, g.pool.kernel, g.pool.stride,
       g.pool.padding, g.pool.dilation, g.pool.ceil_mode});
}

std::tuple<Tensor, Tensor> conv_block(const Tensor& input, const Tensor& weight,
                                      const OptionalTensor& optional_bias, SymInts stride,
                                      SymInts padding, SymInts dilation, c10::SymInt groups,
                                      SymInts pool_size, SymInts pool_stride, SymInts pool_padding,
                                      SymInts pool_dilation, bool ceil_mode, bool relu,
                                      bool return_argmax, std::string_view algorithm) {
  const BlockGeometry geometry{{stride, padding, dilation, std::move(groups), algorithm},
                               {pool_size, pool_stride, pool_padding, pool_dilation, ceil_mode}};
  const Tensor bias = optional_bias.value_or(Tensor());
  const NodePtr owner = record(input, weight, bias, geometry);
  const bool moves = has_tangent(input) || has_tangent(weight) || has_tangent(bias);
  Tensor y, y_alias, argmax;
  {
    const at::AutoDispatchBelowAutograd below;
    std::tie(y, argmax) = call_conv_block(input, weight, optional_bias, relu,
                                          return_argmax || owner || moves, geometry);
    // An alias: a Node that held its own output would never be freed.
    if (relu && owner) y_alias = y.detach();
  }
  if (owner) {
    auto* const node = static_cast<ConvBlockBackward*>(owner.get());
    if (relu) node->output = SavedVariable(y_alias, false);
    node->argmax = SavedVariable(argmax, false);
    torch::autograd::set_history(y, owner);
  }
  if (moves) {
    const auto between = arguments_of(user_name(kConvBlock, input.dim()), input.sym_sizes(),
                                      weight.sym_sizes(), geometry)
                             .pool.input;
    Tensor t = call_max_pool_gather(tangent_between(input, weight, bias, between, geometry.conv),
                                    argmax, geometry.pool);
    if (relu) t = at::threshold_backward(t, primal(y), 0);
    set_tangent(y, t);
  }
  if (!return_argmax && (owner || moves))
    argmax = at::empty({0}, argmax.options().dtype(at::kByte));
  return {y, argmax};
}

// The gradient in differentiable steps, over the whole gradient of what lies between.
std::tuple<Tensor, Tensor, Tensor> in_steps(const Tensor& grad_output, const BlockOperands& of,
                                            const Wanted& wanted, const BlockGeometry& geometry) {
  const auto args = arguments_of(user_name(kConvBlockGrad, int64_t(of.input_size.size())),
                                 of.input_size, of.weight_size, geometry);
  check_block_grad<c10::SymInt>(args.conv.op, args, grad_output, of.input, of.weight, of.output,
                                wanted);
  const Tensor dy = of.output ? at::threshold_backward(grad_output, *of.output, 0) : grad_output;
  const Tensor between = call_max_pool_grad(dy, of.argmax, args.pool.input, geometry.pool);
  const Tensor none = at::empty({0}, grad_output.options());
  Tensor dx = none, dw = none, db = none;
  if (wanted[0])
    dx = call_conv_input_grad(between, *of.weight, {}, of.input_size, false, geometry.conv);
  if (wanted[1])
    std::tie(dw, db) =
        call_conv_weight_grad(between, *of.input, of.weight_size, wanted[2], geometry.conv);
  else if (wanted[2])
    db = channel_sum(between);
  return {dx, dw, db};
}

std::tuple<Tensor, Tensor, Tensor> conv_block_grad(
    const Tensor& grad_output, const OptionalTensor& input, const OptionalTensor& weight,
    const OptionalTensor& output, const Tensor& argmax, SymInts input_size, SymInts weight_size,
    SymInts stride, SymInts padding, SymInts dilation, c10::SymInt groups, SymInts pool_size,
    SymInts pool_stride, SymInts pool_padding, SymInts pool_dilation, bool ceil_mode, Wanted wanted,
    std::string_view algorithm) {
  const BlockGeometry geometry{{stride, padding, dilation, std::move(groups), algorithm},
                               {pool_size, pool_stride, pool_padding, pool_dilation, ceil_mode}};
  const BlockOperands of{input, weight, output, argmax, input_size, weight_size};
  const Tensor x = input.value_or(Tensor()), w = weight.value_or(Tensor());
  if (torch::autograd::compute_requires_grad(grad_output, x, w) || has_tangent(grad_output) ||
      has_tangent(x) || has_tangent(w))
    return in_steps(grad_output, of, wanted, geometry);
  const at::AutoDispatchBelowAutograd below;
  return call_conv_block_grad(grad_output, of, wanted, geometry);
}

TORCH_LIBRARY_IMPL(cnnkern, Autograd, m) {
  m.impl("conv_block", conv_block);
  m.impl("conv_block_grad", conv_block_grad);
}

}  // namespace
}  // namespace cnnkern::ops
