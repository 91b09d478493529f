// SPDX-License-Identifier: BSD-3-Clause
// How launchers are given tensors. Activations (x, y and their gradients) are dense in
// problem.format: n, c, depth, height, width or n, depth, height, width, c. Weights and their
// gradients come with strides.
#pragma once
#include <array>
#include <cstdint>

struct CUstream_st;

namespace cnnkern::cuda {

using Stream = CUstream_st*;

// Axes k, c / groups, depth, height, width; strides in elements, of any value.
struct WeightView {
  void* data;
  std::array<int64_t, 5> stride;
};

}  // namespace cnnkern::cuda
