// SPDX-License-Identifier: BSD-3-Clause
// What the hand-written autograd Nodes share.
#pragma once
#include <torch/csrc/autograd/VariableTypeUtils.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "call.h"
#include "channel_sum.h"

namespace cnnkern::ops {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// A Node is held by a shared pointer up to torch 2.12, by an intrusive one from 2.13 on.
using NodePtr = decltype(torch::autograd::Edge::function);
template <class T, class P = NodePtr>
P own(T* node) {
  if constexpr (std::is_same_v<P, std::shared_ptr<Node>>)
    return P(node, [](T* n) { deleteNode(n); });  // found in torch::autograd, where it exists
  else
    return P::unsafe_steal_from_new(node);
}

inline bool has_tangent(const Tensor& t) { return torch::autograd::isFwGradDefined(t); }
inline Tensor tangent(const Tensor& t) { return t._fw_grad(/*level=*/0); }
inline Tensor primal(const Tensor& t) { return t.defined() ? t._fw_primal(/*level=*/0) : t; }
inline void set_tangent(const Tensor& t, const Tensor& value) {
  t._set_fw_grad(value, /*level=*/0, /*is_inplace_op=*/false);
}

}  // namespace cnnkern::ops
