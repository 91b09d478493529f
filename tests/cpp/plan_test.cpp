// SPDX-License-Identifier: BSD-3-Clause
// Random convolutions: what im2col's blocks hold against counting rows one by one; and that each
// device has choices of its own.
//   plan_test [problems [seed]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "../../csrc/cuda/conv_im2col.h"
#include "../../csrc/cuda/conv_im2col_blocks.h"
#include "../../csrc/plan/cuda_traits.h"
#include "../../csrc/plan/plan.h"
#include "../../csrc/problem/names.h"
#include "../../csrc/problem/sizes.h"
#include "../../csrc/problem/text.h"

namespace {

using namespace cnnkern;
using cuda::Blocks;

std::mt19937_64 rng;
int64_t pick(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(rng);
}

// Few rows and many channels, so that samples are cut.
ConvProblem random_problem() {
  for (;;) {
    ConvProblem g{};
    g.rank = pick(1, 3);
    g.n = pick(1, 5);
    g.groups = pick(1, 3);
    g.c = g.groups * (int64_t{1} << pick(0, 18));
    g.k = g.groups * (int64_t{1} << pick(0, 12));
    g.dtype = static_cast<DataType>(pick(0, 3));
    g.format = static_cast<Format>(pick(0, 1));
    g.input = g.kernel = g.stride = g.dilation = g.output = {1, 1, 1};
    for (size_t i = 3 - static_cast<size_t>(g.rank); i < 3; ++i) {
      g.input[i] = pick(1, 9);
      g.kernel[i] = pick(1, 4);
      g.stride[i] = pick(1, 4);
      g.dilation[i] = pick(1, 3);
      g.pad_before[i] = pick(0, 3);
      g.pad_after[i] = pick(0, 3);
      g.output[i] = conv_output_size(g.input[i], g.kernel[i], g.stride[i], g.pad_before[i],
                                     g.pad_after[i], g.dilation[i]);
    }
    if (*std::min_element(g.output.begin(), g.output.end()) > 0) return g;
  }
}

// Output rows from the first to the last that reach input rows [h0, h1).
int64_t rows_reaching(const ConvProblem& g, int64_t h0, int64_t h1) {
  int64_t first = -1, last = -1;
  for (int64_t p = 0; p < g.output[0] * g.output[1]; ++p) {
    for (int64_t tap = 0; tap < g.kernel[0] * g.kernel[1]; ++tap) {
      const int64_t d =
          p / g.output[1] * g.stride[0] - g.pad_before[0] + tap / g.kernel[1] * g.dilation[0];
      const int64_t h =
          p % g.output[1] * g.stride[1] - g.pad_before[1] + tap % g.kernel[1] * g.dilation[1];
      if (d < 0 || d >= g.input[0] || h < 0 || h >= g.input[1]) continue;
      const int64_t row = d * g.input[1] + h;
      if (row < h0 || row >= h1) continue;
      if (first < 0) first = p;
      last = p;
    }
  }
  return first < 0 ? 0 : last - first + 1;
}

bool fail(const ConvProblem& g, Direction direction, const char* what) {
  std::printf("%s, %s: %s\n", to_text(g).c_str(), name_of(direction), what);
  return false;
}

bool check_blocks(const ConvProblem& g, Direction direction) {
  constexpr int64_t kMost = 64 << 20;
  const bool backward = direction == Direction::input_grad;
  const Blocks blocks = cuda::im2col_blocks(g, direction);
  const Extent& cut = backward ? g.input : g.output;
  const int64_t all = cut[0] * cut[1];
  if (blocks.samples < 1 || blocks.samples > g.n || blocks.rows < 1 || blocks.rows > all)
    return fail(g, direction, "no such block");
  if (blocks.samples > 1 && blocks.rows < all) return fail(g, direction, "part of many samples");
  if (cuda::is_its_own_matrix(g, direction)) {
    const bool whole = blocks.samples == g.n && blocks.rows == all && blocks.matrix_bytes == 0;
    return whole || fail(g, direction, "a matrix beside the tensor that is one");
  }

  const DataType type = cuda::im2col_matrix_type(g, direction);
  const int64_t pixels = g.output[2] * size_of(type);
  const int64_t row_bytes = g.c * g.kernel[0] * g.kernel[1] * g.kernel[2] * pixels;
  const int64_t copy_bytes = type == g.dtype ? 0 : g.k * pixels;
  int64_t most = 0;
  for (int64_t row = 0; row < all; row += blocks.rows) {
    const int64_t beyond = std::min(all, row + blocks.rows);
    const cuda::Rows touching = cuda::rows_touching(g, 0, 1, row, beyond);
    if (backward && touching.p1 - touching.p0 < rows_reaching(g, row, beyond))
      return fail(g, direction, "a row that reaches the band is missing");
    most = std::max(most, backward ? touching.p1 - touching.p0 : beyond - row);
  }
  if (blocks.samples * most * row_bytes > blocks.matrix_bytes)
    return fail(g, direction, "the matrix does not fit its block");
  const bool single = blocks.samples == 1 && blocks.rows == 1;
  if (!single && blocks.matrix_bytes / row_bytes * (row_bytes + copy_bytes) > kMost)
    return fail(g, direction, "a block is too large");
  if (blocks.rows == all && blocks.samples < g.n &&
      (blocks.samples + 1) * g.output[0] * g.output[1] * (row_bytes + copy_bytes) <= kMost)
    return fail(g, direction, "a sample more would fit");

  ConvProblem many = g;
  many.n = 1 << 20;
  const int64_t workspace = cuda::im2col_workspace_bytes(g, direction);
  if (workspace != cuda::im2col_workspace_bytes(many, direction))
    return fail(g, direction, "the workspace depends on the batch");
  if (workspace < blocks.matrix_bytes / row_bytes * (row_bytes + copy_bytes))
    return fail(g, direction, "the workspace holds no block");
  return true;
}

// Asked in turn, so that a choice that is remembered for one device would show on the other.
bool check_choices(const ConvProblem& g, Direction direction) {
  for (const char* name : {"H200", "L4", "A100"}) {
    const DeviceTraits& gpu = named_device(name);
    const Algorithm chosen = choose(g, direction, "auto", gpu);
    const Plan made = plan(g, direction, gpu);
    if (name_of(chosen) != made.algorithm) return fail(g, direction, "another device's choice");
    if (workspace_bytes(g, direction, chosen, gpu) != made.workspace_bytes)
      return fail(g, direction, "another workspace than the plan's");
    if (name_of(choose(g, direction, "auto")) != plan(g, direction, cpu_traits()).algorithm)
      return fail(g, direction, "a GPU's choice for the CPU");
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t problems = argc > 1 ? std::atoll(argv[1]) : 2000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  int64_t failures = 0;
  for (int64_t i = 0; i < problems && failures < 10; ++i) {
    rng.seed(seed * 1000003 + static_cast<uint64_t>(i));
    const ConvProblem g = random_problem();
    for (const Direction direction :
         {Direction::forward, Direction::input_grad, Direction::weight_grad}) {
      failures += !(check_blocks(g, direction) && check_choices(g, direction));
    }
  }
  std::printf("plan_test: seed %llu: %lld problems, %lld failed\n",
              static_cast<unsigned long long>(seed), static_cast<long long>(problems),
              static_cast<long long>(failures));
  return failures != 0;
}
