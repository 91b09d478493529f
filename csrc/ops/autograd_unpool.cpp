// SPDX-License-Identifier: BSD-3-Clause
// Derivatives of max unpooling, which is linear in its values. Its gradient is read at each index,
// also where several values share one, as torch has it; that gather's own adjoint adds them up.
#include <ATen/ops/arange.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "node.h"

namespace cnnkern::ops {
namespace {

enum class Map { unpool, gather };

// The sum of t over the elements that share an index, as torch's own differentiable operators, and
// in an order that every run keeps: scatter_add goes through a plane one by one on the CPU but
// races on CUDA, where index_put sorts.
Tensor add_up(const Tensor& t, const Tensor& indices, SymInts output_size) {
  const c10::SymInt n = t.sym_size(0), c = t.sym_size(1);
  const auto elements = [](SymInts size) {
    c10::SymInt count = 1;
    for (const c10::SymInt& side : size) count = count * side;
    return count;
  };
  const c10::SymInt count = elements(t.sym_sizes().slice(2)), plane = elements(output_size);
  // An index that names no place, which only CUDA lets through, counts nothing.
  const Tensor to = indices.reshape_symint({n, c, count});
  const Tensor known = to.ge(0).logical_and(to.lt(plane));
  const Tensor places = at::where(known, to, at::scalar_tensor(0, to.options()));
  const auto sum_type = t.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor values =
      at::where(known, t.reshape_symint({n, c, count}), at::scalar_tensor(0, t.options()))
          .to(sum_type);
  const auto options = t.options().dtype(sum_type);
  Tensor sum;
  if (t.is_cuda()) {
    const Tensor planes = at::arange(n * c, to.options()).reshape_symint({n, c, 1});
    c10::List<std::optional<Tensor>> flat;
    flat.push_back(places.add(planes.mul(at::Scalar(plane))).reshape_symint({n * c * count}));
    sum = at::index_put(at::zeros_symint({n * c * plane}, options), flat,
                        values.reshape_symint({n * c * count}), /*accumulate=*/true);
  } else {
    sum = at::zeros_symint({n, c, plane}, options).scatter_add(2, places, values);
  }
  std::vector<c10::SymInt> shape{n, c};
  shape.insert(shape.end(), output_size.begin(), output_size.end());
  return sum.to(t.scalar_type()).reshape_symint(shape);
}

Tensor apply_map(Map map, const Tensor& t, const Tensor& indices, SymInts output_size) {
  return map == Map::unpool ? call_max_unpool(t, indices, output_size)
                            : call_max_unpool_grad(t, indices);
}

struct UnpoolBackward final : Node {
  Map map;  // that was applied
  SavedVariable indices;
  std::vector<c10::SymInt> output_size;

  UnpoolBackward(Map map, const Tensor& indices, SymInts output_size)
      : map(map), indices(indices, false), output_size(output_size.vec()) {}

  std::string name() const override {
    return map == Map::unpool ? "CnnkernMaxUnpoolBackward" : "CnnkernMaxUnpoolGradBackward";
  }
  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    indices.reset_data();
  }
  variable_list apply(variable_list&& grads) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    variable_list result(1);
    if (grads[0].defined() && task_should_compute_output(0)) {
      const Tensor places = indices.unpack();
      result[0] = map == Map::unpool ? call_max_unpool_grad(grads[0], places)
                                     : add_up(grads[0], places, output_size);
    }
    return result;
  }
};

Tensor differentiable_map(Map map, const Tensor& t, const Tensor& indices, SymInts output_size) {
  NodePtr owner;
  if (torch::autograd::compute_requires_grad(t)) {
    owner = own(new UnpoolBackward(map, indices, output_size));
    owner->set_next_edges(torch::autograd::collect_next_edges(t));
  }
  const Tensor y = [&] {
    const at::AutoDispatchBelowAutograd below;
    return apply_map(map, t, indices, output_size);
  }();
  if (owner) torch::autograd::set_history(y, owner);
  if (has_tangent(t)) set_tangent(y, apply_map(map, tangent(t), indices, output_size));
  return y;
}

Tensor max_unpool(const Tensor& input, const Tensor& indices, SymInts output_size) {
  return differentiable_map(Map::unpool, input, indices, output_size);
}

Tensor max_unpool_grad(const Tensor& grad_output, const Tensor& indices) {
  const SymInts size = grad_output.sym_sizes();
  return differentiable_map(Map::gather, grad_output, indices,
                            size.slice(std::min(size.size(), size_t(2))));
}

TORCH_LIBRARY_IMPL(cnnkern, Autograd, m) {
  m.impl("max_unpool", max_unpool);
  m.impl("max_unpool_grad", max_unpool_grad);
}

}  // namespace
}  // namespace cnnkern::ops
