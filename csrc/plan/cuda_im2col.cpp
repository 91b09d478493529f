// SPDX-License-Identifier: BSD-3-Clause
// Matrices in memory, multiplied by torch: tensor cores for the forward of 16-bit types. Gradients
// of these are summed in float32, of which tensor cores have no exact product.
#include <algorithm>
#include <cmath>

#include "../cuda/conv_im2col_blocks.h"
#include "candidates.h"
#include "cuda_cost.h"

namespace cnnkern {

namespace {

constexpr int64_t kMostGroups = 16;
constexpr int64_t kMostMatrixBytes = int64_t{1} << 30;

std::string refuse(const ConvProblem& g, Direction direction) {
  const std::string groups =
      "; C = " + std::to_string(g.c) + ", groups = " + std::to_string(g.groups);
  if (g.groups > 1 && g.groups == g.c) {
    return "C/groups is 1, needs at least 2" + groups;
  }
  if (g.groups > kMostGroups) {
    return "each of " + std::to_string(g.groups) + " groups is a matrix product, needs at most " +
           std::to_string(kMostGroups) + groups;
  }
  const int64_t bytes = cuda::im2col_blocks(g, direction).matrix_bytes;
  if (bytes > kMostMatrixBytes) {
    return "one row has a matrix of " + std::to_string(bytes >> 20) + " MiB, needs at most " +
           std::to_string(kMostMatrixBytes >> 20) + " MiB" + groups + ", kernel " +
           std::to_string(g.kernel[0]) + "x" + std::to_string(g.kernel[1]) + "x" +
           std::to_string(g.kernel[2]);
  }
  return "";
}

// Of one call. cuBLAS splits long sums as it sees fit.
Product product_of(const ConvProblem& g, Direction direction, double pixels) {
  constexpr double kPart = 512;
  const double groups = static_cast<double>(g.groups), k = static_cast<double>(g.k) / groups;
  const double terms = static_cast<double>(g.c) / groups * volume(g.kernel);
  if (direction == Direction::forward) return {groups, pixels, k, terms, kPart};
  if (direction == Direction::input_grad) return {groups, pixels, terms, k, kPart};
  return {groups, terms, k, pixels, kPart};
}

// Bands of rows that a sample is cut into, where it does not fit a block.
double bands_of(const ConvProblem& g, Direction direction, const cuda::Blocks& blocks) {
  const Extent& rows = direction == Direction::input_grad ? g.input : g.output;
  return std::ceil(static_cast<double>(rows[0]) * static_cast<double>(rows[1]) /
                   static_cast<double>(blocks.rows));
}

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  Cost cost = cost_of(work_of(g), 1, g.dtype, traits);
  const cuda::Blocks cut = cuda::im2col_blocks(g, direction);
  const DataType type = cuda::im2col_matrix_type(g, direction);
  const double n = static_cast<double>(g.n), pixels = n * volume(g.output);
  const double element = static_cast<double>(size_of(g.dtype));
  const double size = static_cast<double>(size_of(type));
  const double matrix = pixels * static_cast<double>(g.c) * volume(g.kernel) * size;
  const double x = n * static_cast<double>(g.c) * volume(g.input) * element;
  const double y = pixels * static_cast<double>(g.k);
  const double bands = bands_of(g, direction, cut);
  const double blocks = std::max(std::ceil(n / static_cast<double>(cut.samples)) * bands, 1.0);
  // Contiguous matrices are one of each sample. One call multiplies those of a block, unless there
  // are groups as well, or their products are to be added.
  const bool together =
      g.format == Format::channels_last || (g.groups == 1 && direction != Direction::weight_grad);
  const double products = together ? blocks : std::max(n * bands, 1.0);
  const bool own = cuda::is_its_own_matrix(g, direction);

  // The matrix is written and read once each. What of a block stays in half of the L2 cache is read
  // from there.
  const double block = std::max(matrix / blocks, 1.0);
  const double from_memory =
      own ? 1 : 1 - std::min(static_cast<double>(traits.cuda.l2_bytes) / 2 / block, 1.0);
  double moves = own ? 0 : x + matrix, launches = (own ? 0 : blocks) + products;
  if (direction == Direction::forward && g.bias) {
    moves += 2 * y * element;
    launches += products;
  }
  if (direction == Direction::forward && g.relu) {
    moves += 2 * y * element;
    launches += 1;
  }
  if (type != g.dtype) {
    moves += y * (element + size);
    launches += products;
  }
  cost.moves_us = copy_us(moves, traits);
  cost.bytes_us = copy_us(matrix * from_memory + y * size, traits);
  cost.flops_us = products * blas_us(product_of(g, direction, pixels / products), type, traits);
  // One of them is the call's first.
  cost.launches_us = (launches - 1) * traits.cuda.launch_us;
  return cost;
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits&) {
  return cuda::im2col_workspace_bytes(g, direction);
}

}  // namespace

// cuBLAS picks its kernels, and so the order of their sums, by the size of the product.
const ConvCandidate cuda_im2col{Algorithm::im2col, false, refuse, cost, workspace};

}  // namespace cnnkern
