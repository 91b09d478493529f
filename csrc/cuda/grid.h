// SPDX-License-Identifier: BSD-3-Clause
// Every grid here has one axis: the only one that holds 2^31 - 1 blocks.
#pragma once
#include <cstdint>

namespace cnnkern::cuda {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// blocks, or an Error that names the operator where a grid cannot hold so many.
int64_t checked_grid(const char* op, int64_t blocks);

}  // namespace cnnkern::cuda
