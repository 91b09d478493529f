// SPDX-License-Identifier: BSD-3-Clause
// An implicit matrix product on tensor cores: 16-bit types, and float32 where it may be rounded to
// tf32; channels lie side by side or are packed so first.
#include "cuda_implicit_gemm.h"

#include <algorithm>
#include <limits>
#include <string>

#include "../cuda/conv_implicit_gemm.h"
#include "candidates.h"
#include "cuda_cost.h"

namespace cnnkern {

namespace {

// Taps along an axis: the kernel has a bit for each.
constexpr int64_t kMostTaps = 32;

std::string mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

int64_t packed_bytes(const ConvProblem& g, Direction direction) {
  if (direction != Direction::weight_grad) return cuda::gathered_operand(g, direction).sample_bytes;
  const cuda::WeightGradOperands both = cuda::weight_grad_operands(g);
  return both.dy.sample_bytes + both.x.sample_bytes;
}

// Of one split, of as few filters as one pass may have.
int64_t sums_bytes(const ConvProblem& g, Direction direction) {
  if (direction != Direction::weight_grad) return 0;
  const int64_t rows = g.groups == 1 ? std::min<int64_t>(g.k, 128) : g.k;
  const double columns =
      volume(g.kernel) * static_cast<double>(cuda::weight_grad_operands(g).x.padded);
  const double bytes = 4 * static_cast<double>(rows) * (columns + 1);
  return static_cast<int64_t>(std::min(bytes, 1e18));
}

std::string refuse(const ConvProblem& g, Direction direction) {
  if (g.dtype == DataType::float64) return "dtype is float64, needs float16, bfloat16 or tf32";
  if (g.dtype == DataType::float32 && !g.tf32)
    return "dtype is float32, needs float16 or bfloat16, or torch's switch that allows tf32";
  const std::string groups =
      "; C = " + std::to_string(g.c) + ", groups = " + std::to_string(g.groups);
  if (g.groups > 1 && g.groups == g.c) return "C/groups is 1, needs at least 2" + groups;
  for (const int64_t taps : g.kernel) {
    if (taps > kMostTaps && direction != Direction::weight_grad)
      return "an axis of the kernel has " + std::to_string(taps) + " taps, needs at most " +
             std::to_string(kMostTaps);
  }
  const int64_t packed = packed_bytes(g, direction), sums = sums_bytes(g, direction);
  if (packed > cuda::kMostPackedBytes)
    return "a sample's copy with channels side by side has " + mebibytes(packed) +
           ", needs at most " + mebibytes(cuda::kMostPackedBytes);
  if (const int64_t most = cuda::implicit_most_sums_bytes(); sums > most)
    return "the float32 sums of the weights have " + mebibytes(sums) + ", needs at most " +
           mebibytes(most);
  constexpr double kMost = 2147483648.0 - 1048576.0;
  const double sample = std::max(static_cast<double>(g.c) * volume(g.input),
                                 static_cast<double>(g.k) * volume(g.output));
  const double filters =
      static_cast<double>(g.k) * static_cast<double>(g.c / g.groups + 8) * volume(g.kernel);
  if (std::max(sample, filters) > kMost)
    return "a sample, or the filters, have 2^31 elements or more";
  return "";
}

// mma.sync reaches this share of the tensor cores' rate; Hopper's wants wgmma for all of it.
double share_of(const DeviceTraits& traits) { return traits.cuda.major >= 9 ? 0.55 : 0.8; }

Product product_of(const ConvProblem& g, Direction direction) {
  const double groups = static_cast<double>(g.groups), n = static_cast<double>(g.n);
  const double c = static_cast<double>(g.c) / groups, k = static_cast<double>(g.k) / groups;
  const double taps = volume(g.kernel);
  const auto steps = [](double terms) {
    constexpr double kStep = 32;
    return std::max(kStep, terms);
  };
  if (direction == Direction::weight_grad) {
    const double padded = static_cast<double>(cuda::weight_grad_operands(g).x.padded);
    return {groups, k, taps * padded, steps(n * volume(g.output)), 0};
  }
  const double padded = static_cast<double>(cuda::gathered_operand(g, direction).padded);
  if (direction == Direction::forward)
    return {groups, n * volume(g.output), k, steps(taps * padded), 0};
  // Inputs of one residue modulo the stride are a product of their own, of the taps that reach
  // them; where none does, zeros are stored.
  double phases = 1, residues = 1;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t all = std::max<int64_t>(1, std::min(g.stride[i], g.input[i]));
    residues *= static_cast<double>(all);
    phases *= static_cast<double>(std::max<int64_t>(1, std::min(all, g.kernel[i])));
  }
  return {groups * phases, n * volume(g.input) / residues, c, steps(padded * taps / phases), 0};
}

// tf32 at half the rate of 16-bit types.
double matrix_flops_per_us(DataType dtype, const DeviceTraits& traits) {
  return traits.cuda.matrix_tflops * 1e6 * (dtype == DataType::float32 ? 0.5 : 1);
}

// Reads an operand and writes its packed copy.
double pack_bytes(const ConvProblem& g, const cuda::ImplicitOperand& operand) {
  if (!operand.packed) return 0;
  return static_cast<double>(g.n) * static_cast<double>(operand.pixels * g.groups) *
         static_cast<double>(operand.channels + operand.padded) *
         static_cast<double>(size_of(g.dtype));
}

struct CutCost {
  double flops_us, moves_us;
  int launches;  // beside the product's own
};

// split: blocks that share a sum. What each of them leaves is written and read, from half of the L2
// cache where it stays there.
CutCost cost_of_tiles(const ConvProblem& g, Direction direction, cuda::MmaTileSize size,
                      int64_t split, const DeviceTraits& traits) {
  const Product product = product_of(g, direction);
  const double share = size == cuda::MmaTileSize::large    ? 1
                       : size == cuda::MmaTileSize::medium ? 0.8
                                                           : 0.6;
  const ProductTile tile{static_cast<double>(cuda::mma_rows(size)),
                         static_cast<double>(cuda::mma_columns(size)), share};
  const double blocks = static_cast<double>(split);
  const double us = tiles_us(product, tile, blocks, g.dtype,
                             matrix_flops_per_us(g.dtype, traits) * share_of(traits), traits);
  const bool adds = split > 1 || direction == Direction::weight_grad;
  const double sums = adds ? 4 * blocks * product.count * product.rows * product.columns : 0;
  const double cached = std::min(static_cast<double>(traits.cuda.l2_bytes) / 2, sums);
  return {us, copy_us(2 * sums - cached, traits), adds};
}

Cost cost(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  Cost cost = cost_of(work_of(g), 1, g.dtype, traits);
  CutCost product;
  double packed = 0, launches = 0;
  if (direction == Direction::weight_grad) {
    const cuda::WeightGradOperands both = cuda::weight_grad_operands(g);
    const cuda::ImplicitWeightGradCut cut = cuda::cut_implicit_weight_grad(g);
    product = cost_of_tiles(g, direction, cut.tile, cut.splits, traits);
    packed = pack_bytes(g, both.dy) + pack_bytes(g, both.x);
    launches = both.dy.packed + both.x.packed;
  } else {
    const cuda::ImplicitOperand source = cuda::gathered_operand(g, direction);
    const cuda::ImplicitCut cut = implicit_cut(g, direction, traits);
    product = cost_of_tiles(g, direction, cut.tile, cut.split, traits);
    packed = pack_bytes(g, source);
    // Filters lie as the activations do.
    launches = source.packed + (g.format == Format::contiguous);
  }
  cost.flops_us = product.flops_us;
  cost.moves_us = copy_us(packed, traits) + product.moves_us;
  cost.launches_us = (launches + product.launches) * traits.cuda.launch_us;
  return cost;
}

int64_t workspace(const ConvProblem& g, Direction direction, const DeviceTraits&) {
  return cuda::conv_implicit_gemm_most_workspace_bytes(g, direction);
}

Tiling tiling(const ConvProblem& g, Direction direction, const DeviceTraits& traits) {
  const auto text = [](cuda::MmaTileSize tile) {
    return std::to_string(cuda::mma_rows(tile)) + "x" + std::to_string(cuda::mma_columns(tile));
  };
  if (direction == Direction::weight_grad) {
    const cuda::ImplicitWeightGradCut cut = cuda::cut_implicit_weight_grad(g);
    return {text(cut.tile), cut.splits};
  }
  const cuda::ImplicitCut cut = implicit_cut(g, direction, traits);
  return {text(cut.tile), cut.split};
}

}  // namespace

cuda::ImplicitCut implicit_cut(const ConvProblem& g, Direction direction,
                               const DeviceTraits& traits) {
  cuda::ImplicitCut best{};
  double least = std::numeric_limits<double>::infinity();
  for (const cuda::ImplicitCut& cut : cuda::implicit_cuts(g, direction)) {
    const CutCost cost = cost_of_tiles(g, direction, cut.tile, cut.split, traits);
    const double us = cost.flops_us + cost.moves_us + cost.launches * traits.cuda.launch_us;
    if (us >= least) continue;
    least = us;
    best = cut;
  }
  return best;
}

const ConvCandidate cuda_implicit_gemm{
    Algorithm::implicit_gemm, true, refuse, cost, workspace, nullptr, tiling};

}  // namespace cnnkern
