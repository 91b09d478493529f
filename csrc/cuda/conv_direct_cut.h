// SPDX-License-Identifier: BSD-3-Clause
// How the weight gradient of the direct convolution is cut. No CUDA: plans ask for its workspace.
#pragma once
#include "../problem/conv_problem.h"

namespace cnnkern::cuda {

enum class WeightGradTile { medium, small };

struct WeightGradCut {
  WeightGradTile tile;
  int64_t row_tiles, column_tiles;
  int64_t splits, split_pixels;
};
// The same on every device, so that results have the same bits.
WeightGradCut cut_weight_grad(const ConvProblem&);

constexpr int weight_grad_rows(WeightGradTile tile) {
  return tile == WeightGradTile::medium ? 64 : 32;
}
constexpr int weight_grad_columns(WeightGradTile tile) {
  return tile == WeightGradTile::medium ? 64 : 16;
}

}  // namespace cnnkern::cuda
