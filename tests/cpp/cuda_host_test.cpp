// SPDX-License-Identifier: BSD-3-Clause
// What the host decides before a CUDA kernel starts, at the edges that no tensor of a test reaches:
// the largest grid, the last problem whose offsets fit 32 bits.
#include <cstdio>
#include <string>

#include "../../csrc/cuda/grid.h"
#include "../../csrc/cuda/wide.h"
#include "../../csrc/problem/error.h"
#include "../../csrc/problem/text.h"

using namespace cnnkern;

namespace {

int failed = 0, passed = 0;

void check(bool ok, const char* what) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAILED: %s\n", what);
}

std::string grid_error(int64_t blocks) {
  try {
    cuda::checked_grid("conv2d", blocks);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool fits(const std::string& text) {
  const Problem problem = parse(text);
  if (const auto* conv = std::get_if<ConvProblem>(&problem)) return cuda::fits_int32(*conv);
  return cuda::fits_int32(std::get<PoolProblem>(problem));
}

}  // namespace

int main() {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  check(cuda::checked_grid("conv2d", kMost) == kMost, "the largest grid is one");
  check(
      grid_error(kMost + 1).find("conv2d: expected a problem of at most 2147483647 blocks") == 0 &&
          grid_error(kMost + 1).find("got 2147483648") != std::string::npos,
      "a larger one is an error that says both numbers");

  check(fits("conv2d 1x1x1000x1000 1x1x3x3"), "a small problem fits");
  check(fits("conv2d 2046x1x1024x1024 1x1x1x1"), "the last input that fits");
  check(!fits("conv2d 2048x1x1024x1024 1x1x1x1"), "2^31 elements of the input do not");
  check(!fits("conv2d 512x1x1024x1024 4x1x1x1"), "nor of the output");
  check(!fits("conv1d 1x1x5 1x1x3 padding=1073741824 stride=1073741824"),
        "positions in a huge padding do not fit either");
  check(!fits("max_pool2d 2048x1x1024x1024 kernel=2"), "pools alike");
  cuda::always_wide() = true;
  check(!fits("conv2d 1x1x4x4 1x1x3x3"), "nothing fits where a test says so");

  std::printf("cuda host: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
