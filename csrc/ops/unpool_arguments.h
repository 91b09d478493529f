// SPDX-License-Identifier: BSD-3-Clause
// What a max unpooling is given, checked: for real sizes and symbolic ones alike.
#pragma once
#include "../problem/check_unpool.h"
#include "arguments.h"

namespace cnnkern::ops {

constexpr const char* kMaxUnpool[] = {"max_unpool1d", "max_unpool2d", "max_unpool3d"};

inline void check_indices(const char* op, const Tensor& indices, const Tensor& like) {
  TORCH_CHECK(indices.scalar_type() == at::kLong, op, ": expected indices of dtype int64, got ",
              dtype_name(indices));
  TORCH_CHECK(indices.device() == like.device(), op, ": expected indices on the device of the ",
              "other tensor, ", like.device(), ", got ", indices.device());
}

template <class I>
std::vector<I> checked_unpool(const char* op, const Tensor& input, const Tensor& indices,
                              List<I> output_size) {
  check_rank(op, "input", input.dim(), input.dim());
  check_types(op, input, "input", {}, "");
  check_indices(op, indices, input);
  return checked([&] {
    return unpool_output_shape<I>(op, sizes_of<I>(input).vec(), sizes_of<I>(indices).vec(),
                                  output_size.vec());
  });
}

template <class I>
void checked_unpool_grad(const char* op, const Tensor& grad_output, const Tensor& indices) {
  check_rank(op, "grad_output", grad_output.dim(), indices.dim());
  check_types(op, grad_output, "grad_output", {}, "");
  check_indices(op, indices, grad_output);
  checked([&] {
    check_unpool_grad<I>(op, sizes_of<I>(grad_output).vec(), sizes_of<I>(indices).vec());
  });
}

}  // namespace cnnkern::ops
