// SPDX-License-Identifier: BSD-3-Clause
// What compiled autograd asks of a Node: all that its backward pass depends on, and a call for the
// graph being traced, of a function whose arguments are the incoming gradients and those values.
// A derived Node has a default constructor; backward(grads), which computes the i-th of gradients()
// only if wants(i); and visit(each), which gives `each` every member in a fixed order.
#pragma once
#include <torch/csrc/dynamo/compiled_autograd.h>

#include "node.h"

namespace cnnkern::ops {

namespace traced = torch::dynamo::autograd;

template <class Derived>
struct TracedNode : Node {
  bool wants(size_t i) const {
    return wanted_.empty() ? task_should_compute_output(i) : wanted_[i];
  }

  size_t gradients() const { return wanted_.empty() ? num_outputs() : wanted_.size(); }

  variable_list apply(variable_list&& grads) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return self().backward(grads);
  }

  void compiled_args(torch::autograd::CompiledNodeArgs& args) const override {
    self().visit([&](auto& member) {
      using T = std::decay_t<decltype(member)>;
      if constexpr (std::is_same_v<T, SavedVariable>)
        args.collect(member, /*is_output=*/false);
      else if constexpr (std::is_enum_v<T>)
        args.collect(int64_t(member));
      else
        args.collect(member);
    });
  }

  variable_list apply_with_saved(const variable_list& grads,
                                 torch::autograd::SwapSavedVariables& saved) override {
    const auto each_swapped = [&](const auto& swap) {
      self().visit([&](auto& member) {
        if constexpr (!std::is_enum_v<std::decay_t<decltype(member)>>) swap(member);
      });
    };
    each_swapped([&](auto& member) { saved.before(member); });
    traced::PackedArgs packed;
    std::vector<at::TypePtr> types;
    const auto pack = [&](const auto& value) {
      packed.pack(value);
      types.push_back(traced::IValuePacker<std::decay_t<decltype(value)>>::packed_type());
    };
    self().visit([&](auto& member) {
      using T = std::decay_t<decltype(member)>;
      if constexpr (std::is_same_v<T, SavedVariable>)
        pack(member.unpack());
      else if constexpr (std::is_enum_v<T>)
        pack(int64_t(member));
      else
        pack(member);
    });
    std::vector<bool> wanted;
    for (size_t i = 0; i < num_outputs(); ++i) wanted.push_back(wants(i));
    pack(wanted);
    const auto metadata =
        traced::IValuePacker<std::vector<std::optional<torch::autograd::InputMetadata>>>::pack(
            traced::get_input_metadata(next_edges()));
    const auto& compiler = traced::getPyCompilerInterface();
    const std::string bound =
        compiler->bind_function(saved.get_py_compiler(), name(), call_packed, types,
                                /*is_custom_function=*/true, /*is_traceable=*/true);
    const variable_list result =
        compiler->call_function(saved.get_py_compiler(), "apply_functional", bound, grads,
                                std::move(packed).vec(), metadata);
    each_swapped([&](auto& member) { saved.after(member); });
    return result;
  }

 private:
  // The function that the graph calls: a Node made of the values alone, in no autograd graph.
  static variable_list call_packed(const variable_list& grads,
                                   const std::vector<c10::IValue>& args) {
    traced::PackedArgs packed(args);
    const NodePtr owner = own(new Derived);
    Derived& node = static_cast<Derived&>(*owner);
    const bool prior = at::SavedTensorDefaultHooks::set_tracing(true);
    node.visit([&](auto& member) {
      using T = std::decay_t<decltype(member)>;
      if constexpr (std::is_same_v<T, SavedVariable>)
        member = SavedVariable(packed.unpack<Tensor>(), /*is_output=*/false);
      else if constexpr (std::is_enum_v<T>)
        member = T(packed.unpack<int64_t>());
      else
        member = packed.unpack<T>();
    });
    at::SavedTensorDefaultHooks::set_tracing(prior);
    node.wanted_ = packed.unpack<std::vector<bool>>();
    return node.backward(grads);
  }

  Derived& self() const { return const_cast<Derived&>(static_cast<const Derived&>(*this)); }

  std::vector<bool> wanted_;  // empty: the engine's task says it
};

}  // namespace cnnkern::ops
