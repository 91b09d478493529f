// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of the convolutions, of any order, reverse and forward. Without bias and ReLU each is
// a bilinear map of two tensors, and one Node serves all three:
//   conv(x, w):          d x = input_grad(g, w)   d w = weight_grad(g, x)
//   input_grad(dy, w):   d dy = conv(g, w)        d w = weight_grad(dy, g)
//   weight_grad(dy, x):  d dy = conv(x, g)        d x = input_grad(dy, g)
// What conv adds gets g itself. A fused ReLU differentiates from its output, so that nothing else
// is saved for it.
#include <ATen/ops/add.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/library.h>

#include "traced_node.h"

namespace cnnkern::ops {
namespace {

enum class Kind { conv, input_grad, weight_grad };

// One value a channel, in the shape of t.
Tensor expand_channels(const Tensor& values, SymInts shape) {
  std::vector<c10::SymInt> column(shape.size(), 1);
  column[1] = shape[1];
  return values.view_symint(column).expand_symint(shape);
}

struct StoredGeometry {
  std::vector<c10::SymInt> stride, padding, dilation;
  c10::SymInt groups;
  std::string algorithm;
  Border border = Border::zeros;

  StoredGeometry() = default;
  explicit StoredGeometry(const ConvGeometry& g)
      : stride(g.stride.vec()),
        padding(g.padding.vec()),
        dilation(g.dilation.vec()),
        groups(g.groups),
        algorithm(g.algorithm),
        border(g.border) {}
  operator ConvGeometry() const { return {stride, padding, dilation, groups, algorithm, border}; }
};

struct ConvBackward final : TracedNode<ConvBackward> {
  Kind kind = Kind::conv;
  bool relu = false;
  StoredGeometry geometry;
  SavedVariable a, b, output;  // output: of a fused ReLU
  std::vector<c10::SymInt> a_size, b_size;

  ConvBackward() = default;
  ConvBackward(Kind kind, bool relu, const ConvGeometry& geometry)
      : kind(kind), relu(relu), geometry(geometry) {}

  std::string name() const override {
    return kind == Kind::conv         ? "CnnkernConvBackward"
           : kind == Kind::input_grad ? "CnnkernConvInputGradBackward"
                                      : "CnnkernConvWeightGradBackward";
  }
  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    a.reset_data();
    b.reset_data();
    output.reset_data();
  }
  template <class Each>
  void visit(Each&& each) {
    each(kind), each(relu), each(geometry.stride), each(geometry.padding);
    each(geometry.dilation), each(geometry.groups), each(geometry.algorithm);
    each(geometry.border);
    each(a), each(b), each(output), each(a_size), each(b_size);
  }
  variable_list backward(const variable_list& grads) {
    return kind == Kind::weight_grad ? backward_of_weight_grad(grads[0], grads[1])
                                     : backward_of_map(grads[0]);
  }

  variable_list backward_of_map(const Tensor& incoming) {
    variable_list result(gradients());
    if (!incoming.defined()) return result;
    const Tensor g = relu ? at::threshold_backward(incoming, output.unpack(), 0) : incoming;
    const bool bias = wants(2);
    if (wants(0)) {
      const Tensor weight = b.unpack();
      result[0] = kind == Kind::conv ? call_conv_input_grad(g, weight, {}, a_size, false, geometry)
                                     : call_conv(g, weight, {}, false, geometry);
    }
    if (wants(1)) {
      const Tensor input = a.unpack();
      if (kind == Kind::conv)
        std::tie(result[1], result[2]) = call_conv_weight_grad(g, input, b_size, bias, geometry);
      else
        result[1] = std::get<0>(call_conv_weight_grad(input, g, b_size, false, geometry));
    }
    if (!bias)
      result[2] = Tensor();
    else if (!result[2].defined())
      result[2] = channel_sum(g);
    if (result.size() > 3 && wants(3)) result[3] = g;
    return result;
  }

  variable_list backward_of_weight_grad(const Tensor& g, const Tensor& g_bias) {
    variable_list result(2);
    if (wants(0)) {
      if (g.defined())  // the bias gradient's own gradient adds to each channel, as a bias does
        result[0] =
            call_conv(b.unpack(), g, g_bias.defined() ? OptionalTensor(g_bias) : std::nullopt,
                      false, geometry);
      else if (g_bias.defined())
        result[0] = expand_channels(g_bias, a_size);
    }
    if (wants(1) && g.defined())
      result[1] = call_conv_input_grad(a.unpack(), g, {}, b_size, false, geometry);
    return result;
  }
};

// Each of a and b is saved for the gradient of the other.
NodePtr record(Kind kind, const Tensor& a, const Tensor& b, const Tensor& bias,
               const Tensor& residual, bool relu, const ConvGeometry& geometry) {
  if (!torch::autograd::compute_requires_grad(a, b, bias, residual)) return {};
  auto* node = new ConvBackward(kind, relu, geometry);
  NodePtr owner = own(node);
  if (kind == Kind::weight_grad)
    node->set_next_edges(torch::autograd::collect_next_edges(a, b));
  else if (residual.defined())
    node->set_next_edges(torch::autograd::collect_next_edges(a, b, bias, residual));
  else
    node->set_next_edges(torch::autograd::collect_next_edges(a, b, bias));
  const bool of_a = node->should_compute_output(0), of_b = node->should_compute_output(1);
  if (of_a) node->b = SavedVariable(b, false);
  if (of_b) node->a = SavedVariable(a, false);
  if (of_a || kind == Kind::weight_grad) node->a_size = a.sym_sizes().vec();
  if (of_b) node->b_size = b.sym_sizes().vec();
  return owner;
}

// The map itself, below autograd; its history; its tangent. A residual may be undefined.
Tensor differentiable_map(Kind kind, const Tensor& a, const Tensor& b, const OptionalTensor& bias,
                          const Tensor& residual, SymInts input_size, bool relu,
                          const ConvGeometry& geometry) {
  const auto map = [&](const Tensor& u, const Tensor& v, const OptionalTensor& w, bool with_relu) {
    return kind == Kind::conv ? call_conv(u, v, w, with_relu, geometry)
                              : call_conv_input_grad(u, v, w, input_size, with_relu, geometry);
  };
  const Tensor bias_or_none = bias.value_or(Tensor());
  const NodePtr owner = record(kind, a, b, bias_or_none, residual, relu, geometry);
  Tensor y, y_alias;
  {
    const at::AutoDispatchBelowAutograd below;
    y = residual.defined() ? call_conv_add(a, b, bias, residual, relu, geometry)
                           : map(a, b, bias, relu);
    // An alias: a Node that held its own output would never be freed.
    if (relu && owner) y_alias = y.detach();
  }
  if (owner) {
    if (relu) static_cast<ConvBackward*>(owner.get())->output = SavedVariable(y_alias, false);
    torch::autograd::set_history(y, owner);
  }
  const bool bias_moves = has_tangent(bias_or_none), residual_moves = has_tangent(residual);
  if (has_tangent(a) || has_tangent(b) || bias_moves || residual_moves) {
    const OptionalTensor bias_tangent =
        bias_moves ? OptionalTensor(tangent(bias_or_none)) : std::nullopt;
    Tensor t;
    if (has_tangent(a)) t = map(tangent(a), primal(b), bias_tangent, false);
    if (has_tangent(b)) {
      const Tensor u = map(primal(a), tangent(b), t.defined() ? std::nullopt : bias_tangent, false);
      t = t.defined() ? at::add(t, u) : u;
    }
    if (!t.defined() && bias_moves) t = expand_channels(*bias_tangent, y.sym_sizes()).contiguous();
    if (residual_moves) t = t.defined() ? at::add(t, tangent(residual)) : tangent(residual).clone();
    if (relu) t = at::threshold_backward(t, primal(y), 0);
    set_tangent(y, t);
  }
  return y;
}

Tensor conv(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, SymInts stride,
            SymInts padding, SymInts dilation, c10::SymInt groups, bool relu,
            std::string_view algorithm) {
  const ConvGeometry geometry{stride, padding, dilation, std::move(groups), algorithm};
  return differentiable_map(Kind::conv, input, weight, bias, {}, {}, relu, geometry);
}

Tensor conv_add(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                const Tensor& residual, SymInts stride, SymInts padding, SymInts dilation,
                c10::SymInt groups, bool relu, std::string_view algorithm) {
  const ConvGeometry geometry{stride, padding, dilation, std::move(groups), algorithm};
  return differentiable_map(Kind::conv, input, weight, bias, residual, {}, relu, geometry);
}

Tensor conv_input_grad(const Tensor& grad_output, const Tensor& weight, const OptionalTensor& bias,
                       SymInts input_size, SymInts stride, SymInts padding, SymInts dilation,
                       c10::SymInt groups, bool relu, std::string_view algorithm) {
  const ConvGeometry geometry{stride, padding, dilation, std::move(groups), algorithm};
  return differentiable_map(Kind::input_grad, grad_output, weight, bias, {}, input_size, relu,
                            geometry);
}

std::tuple<Tensor, Tensor> differentiable_weight_grad(const Tensor& grad_output,
                                                      const Tensor& input, SymInts weight_size,
                                                      bool bias_grad,
                                                      const ConvGeometry& geometry) {
  const NodePtr owner = record(Kind::weight_grad, grad_output, input, {}, {}, false, geometry);
  std::tuple<Tensor, Tensor> result;
  {
    const at::AutoDispatchBelowAutograd below;
    result = call_conv_weight_grad(grad_output, input, weight_size, bias_grad, geometry);
  }
  auto& [dw, db] = result;
  if (owner) {
    torch::autograd::set_history(dw, owner);
    torch::autograd::set_history(db, owner);
  }
  const bool of_grad = has_tangent(grad_output), of_input = has_tangent(input);
  if (of_grad) {
    const auto [t, t_bias] = call_conv_weight_grad(tangent(grad_output), primal(input), weight_size,
                                                   bias_grad, geometry);
    if (bias_grad) set_tangent(db, t_bias);
    if (!of_input) set_tangent(dw, t);
    if (of_input) {
      const Tensor u = std::get<0>(
          call_conv_weight_grad(primal(grad_output), tangent(input), weight_size, false, geometry));
      set_tangent(dw, at::add(t, u));
    }
  } else if (of_input) {
    set_tangent(dw, std::get<0>(call_conv_weight_grad(primal(grad_output), tangent(input),
                                                      weight_size, false, geometry)));
  }
  return result;
}

std::tuple<Tensor, Tensor> conv_weight_grad(const Tensor& grad_output, const Tensor& input,
                                            SymInts weight_size, SymInts stride, SymInts padding,
                                            SymInts dilation, c10::SymInt groups, bool bias_grad,
                                            std::string_view algorithm) {
  const ConvGeometry geometry{stride, padding, dilation, std::move(groups), algorithm};
  return differentiable_weight_grad(grad_output, input, weight_size, bias_grad, geometry);
}

Tensor conv_border(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                   SymInts stride, SymInts padding, SymInts dilation, c10::SymInt groups, bool relu,
                   std::string_view padding_mode, std::string_view algorithm) {
  const ConvGeometry geometry{stride,    padding,
                              dilation,  std::move(groups),
                              algorithm, border_of(user_name(kConv, input.dim()), padding_mode)};
  return differentiable_map(Kind::conv, input, weight, bias, {}, {}, relu, geometry);
}

Tensor conv_border_input_grad(const Tensor& grad_output, const Tensor& weight, SymInts input_size,
                              SymInts stride, SymInts padding, SymInts dilation, c10::SymInt groups,
                              std::string_view padding_mode, std::string_view algorithm) {
  const ConvGeometry geometry{
      stride,    padding,
      dilation,  std::move(groups),
      algorithm, border_of(user_name(kConvInputGrad, grad_output.dim()), padding_mode)};
  return differentiable_map(Kind::input_grad, grad_output, weight, {}, {}, input_size, false,
                            geometry);
}

std::tuple<Tensor, Tensor> conv_border_weight_grad(const Tensor& grad_output, const Tensor& input,
                                                   SymInts weight_size, SymInts stride,
                                                   SymInts padding, SymInts dilation,
                                                   c10::SymInt groups, bool bias_grad,
                                                   std::string_view padding_mode,
                                                   std::string_view algorithm) {
  const ConvGeometry geometry{
      stride,    padding,
      dilation,  std::move(groups),
      algorithm, border_of(user_name(kConvWeightGrad, input.dim()), padding_mode)};
  return differentiable_weight_grad(grad_output, input, weight_size, bias_grad, geometry);
}

TORCH_LIBRARY_IMPL(cnnkern, Autograd, m) {
  m.impl("conv_border", conv_border);
  m.impl("conv_border_input_grad", conv_border_input_grad);
  m.impl("conv_border_weight_grad", conv_border_weight_grad);
  m.impl("conv", conv);
  m.impl("conv_add", conv_add);
  m.impl("conv_input_grad", conv_input_grad);
  m.impl("conv_weight_grad", conv_weight_grad);
}

}  // namespace
}  // namespace cnnkern::ops
