// SPDX-License-Identifier: BSD-3-Clause
#include "grid.h"

#include "../problem/error.h"

namespace cnnkern::cuda {

int64_t checked_grid(const char* op, int64_t blocks) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  if (blocks > kMost) {
    fail(op, "expected a problem of at most ", kMost, " blocks, the most that a CUDA grid holds, ",
         "got ", blocks, "; split the batch");
  }
  return blocks;
}

}  // namespace cnnkern::cuda
