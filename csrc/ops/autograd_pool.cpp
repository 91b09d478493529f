// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of the pools. Once the argmax is fixed every pool is a linear map, and each of these
// maps is the adjoint of another one: max_pool_grad and max_pool_gather, avg_pool_grad and
// avg_pool. max_pool itself moves, to first order, as the gather does.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "traced_node.h"

namespace cnnkern::ops {
namespace {

enum class Map { max_gather, max_scatter, avg, avg_scatter };

constexpr Map adjoint(Map map) {
  return map == Map::max_gather    ? Map::max_scatter
         : map == Map::max_scatter ? Map::max_gather
         : map == Map::avg         ? Map::avg_scatter
                                   : Map::avg;
}

// input_size is the size of the pooled input, which a scatter restores.
Tensor apply_map(Map map, const Tensor& t, const Tensor& argmax, SymInts input_size,
                 const PoolGeometry& geometry) {
  switch (map) {
    case Map::max_gather:
      return call_max_pool_gather(t, argmax, geometry);
    case Map::max_scatter:
      return call_max_pool_grad(t, argmax, input_size, geometry);
    case Map::avg:
      return call_avg_pool(t, geometry);
    default:
      return call_avg_pool_grad(t, input_size, geometry);
  }
}

struct StoredGeometry {
  std::vector<c10::SymInt> kernel, stride, padding, dilation, output_size;
  bool ceil_mode = false, count_include_pad = false;
  c10::SymInt divisor;

  StoredGeometry() = default;
  explicit StoredGeometry(const PoolGeometry& g)
      : kernel(g.kernel.vec()),
        stride(g.stride.vec()),
        padding(g.padding.vec()),
        dilation(g.dilation.vec()),
        output_size(g.output_size.vec()),
        ceil_mode(g.ceil_mode),
        count_include_pad(g.count_include_pad),
        divisor(g.divisor) {}
  operator PoolGeometry() const {
    return {kernel, stride, padding, dilation, ceil_mode, count_include_pad, divisor, output_size};
  }
};

struct PoolBackward final : TracedNode<PoolBackward> {
  Map map = Map::avg;  // that the gradient of a result goes through
  StoredGeometry geometry;
  SavedVariable argmax;
  std::vector<c10::SymInt> input_size;

  PoolBackward() = default;
  PoolBackward(Map map, const PoolGeometry& geometry, SymInts input_size)
      : map(map), geometry(geometry), input_size(input_size.vec()) {}

  std::string name() const override {
    return map == Map::max_scatter  ? "CnnkernMaxPoolBackward"
           : map == Map::max_gather ? "CnnkernMaxPoolGradBackward"
           : map == Map::avg        ? "CnnkernAvgPoolGradBackward"
                                    : "CnnkernAvgPoolBackward";
  }
  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    argmax.reset_data();
  }
  template <class Each>
  void visit(Each&& each) {
    each(map), each(geometry.kernel), each(geometry.stride), each(geometry.padding);
    each(geometry.dilation), each(geometry.ceil_mode), each(geometry.count_include_pad);
    each(geometry.divisor), each(geometry.output_size), each(argmax), each(input_size);
  }
  variable_list backward(const variable_list& grads) {
    variable_list result(1);
    if (grads[0].defined() && wants(0))
      result[0] = apply_map(map, grads[0], argmax.unpack(), input_size, geometry);
    return result;
  }
};

NodePtr record(Map map, const Tensor& input, SymInts input_size, const PoolGeometry& geometry) {
  if (!torch::autograd::compute_requires_grad(input)) return {};
  auto* node = new PoolBackward(adjoint(map), geometry, input_size);
  NodePtr owner = own(node);
  node->set_next_edges(torch::autograd::collect_next_edges(input));
  return owner;
}

// A linear map, below autograd, with its history and its tangent.
Tensor differentiable_map(Map map, const Tensor& t, const Tensor& argmax, SymInts input_size,
                          const PoolGeometry& geometry) {
  const NodePtr owner = record(map, t, input_size, geometry);
  const Tensor y = [&] {
    const at::AutoDispatchBelowAutograd below;
    return apply_map(map, t, argmax, input_size, geometry);
  }();
  if (owner) {
    if (argmax.defined())
      static_cast<PoolBackward*>(owner.get())->argmax = SavedVariable(argmax, false);
    torch::autograd::set_history(y, owner);
  }
  if (has_tangent(t)) set_tangent(y, apply_map(map, tangent(t), argmax, input_size, geometry));
  return y;
}

std::tuple<Tensor, Tensor> max_pool(const Tensor& input, SymInts kernel, SymInts stride,
                                    SymInts padding, SymInts dilation, bool ceil_mode,
                                    bool return_argmax, SymInts output_size) {
  const PoolGeometry geometry{kernel, stride, padding, dilation, ceil_mode, false, 0, output_size};
  const NodePtr owner = record(Map::max_gather, input, input.sym_sizes(), geometry);
  const bool moves = has_tangent(input);
  Tensor y, argmax;
  {
    const at::AutoDispatchBelowAutograd below;
    std::tie(y, argmax) = call_max_pool(input, return_argmax || owner || moves, geometry);
  }
  if (owner) {
    static_cast<PoolBackward*>(owner.get())->argmax = SavedVariable(argmax, false);
    torch::autograd::set_history(y, owner);
  }
  if (moves) set_tangent(y, call_max_pool_gather(tangent(input), argmax, geometry));
  if (!return_argmax && (owner || moves))
    argmax = at::empty({0}, argmax.options().dtype(at::kByte));
  return {y, argmax};
}

Tensor max_pool_grad(const Tensor& grad_output, const Tensor& argmax, SymInts input_size,
                     SymInts kernel, SymInts stride, SymInts padding, SymInts dilation,
                     bool ceil_mode, SymInts output_size) {
  const PoolGeometry geometry{kernel, stride, padding, dilation, ceil_mode, false, 0, output_size};
  return differentiable_map(Map::max_scatter, grad_output, argmax, input_size, geometry);
}

Tensor max_pool_gather(const Tensor& input, const Tensor& argmax, SymInts kernel, SymInts stride,
                       SymInts padding, SymInts dilation, bool ceil_mode, SymInts output_size) {
  const PoolGeometry geometry{kernel, stride, padding, dilation, ceil_mode, false, 0, output_size};
  return differentiable_map(Map::max_gather, input, argmax, input.sym_sizes(), geometry);
}

Tensor avg_pool(const Tensor& input, SymInts kernel, SymInts stride, SymInts padding,
                bool ceil_mode, bool count_include_pad, c10::SymInt divisor, SymInts output_size) {
  const PoolGeometry geometry{
      kernel, stride, padding, {}, ceil_mode, count_include_pad, std::move(divisor), output_size};
  return differentiable_map(Map::avg, input, {}, input.sym_sizes(), geometry);
}

Tensor avg_pool_grad(const Tensor& grad_output, SymInts input_size, SymInts kernel, SymInts stride,
                     SymInts padding, bool ceil_mode, bool count_include_pad, c10::SymInt divisor,
                     SymInts output_size) {
  const PoolGeometry geometry{
      kernel, stride, padding, {}, ceil_mode, count_include_pad, std::move(divisor), output_size};
  return differentiable_map(Map::avg_scatter, grad_output, {}, input_size, geometry);
}

TORCH_LIBRARY_IMPL(cnnkern, Autograd, m) {
  m.impl("max_pool", max_pool);
  m.impl("max_pool_grad", max_pool_grad);
  m.impl("max_pool_gather", max_pool_gather);
  m.impl("avg_pool", avg_pool);
  m.impl("avg_pool_grad", avg_pool_grad);
}

}  // namespace
}  // namespace cnnkern::ops
