// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/sum.h>

#include <optional>
#include <vector>

namespace cnnkern::ops {

// Sums everything but the channels: the gradient of a bias.
inline at::Tensor channel_sum(const at::Tensor& t, std::optional<at::ScalarType> type = {}) {
  std::vector<int64_t> axes{0};
  for (int64_t axis = 2; axis < t.dim(); ++axis) axes.push_back(axis);
  return at::sum(t, axes, /*keepdim=*/false, type);
}

}  // namespace cnnkern::ops
