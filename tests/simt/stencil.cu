// SPDX-License-Identifier: BSD-3-Clause
// y = 3x3 cross-correlation of x with w, one channel, padding 1: a 16x16 tile and its halo in
// shared memory, a thread an output.
#include "kernels.h"

#include "../../csrc/cuda/arch/math.h"
#include "../../csrc/cuda/launch.h"

namespace {

using cnnkern::cuda::fma;

template <Bug B>
__global__ void stencil_kernel(const float* x, const float* w, float* y, int height, int width) {
  constexpr int kTile = 16, kSide = kTile + 2;
  constexpr int kCount = kSide * kSide - (B == Bug::kUninitialised);
  CK_SMEM(raw);
  float* tile = reinterpret_cast<float*>(raw);
  const int left = int(blockIdx.x) * kTile - 1, top = int(blockIdx.y) * kTile - 1;
  const int tid = int(threadIdx.y * kTile + threadIdx.x);
  const int row = top + 1 + int(threadIdx.y), col = left + 1 + int(threadIdx.x);
  const bool inside = row < height && col < width;
  if (B == Bug::kEarlyReturn && !inside) return;
  for (int i = tid; i < kCount; i += kTile * kTile) {
    const int h = top + i / kSide, v = left + i % kSide;
    const bool above = h < 0 && B != Bug::kGlobalUnderflow;
    const bool below = h >= height && B != Bug::kGlobalOutOfBounds;
    float value = 0;
    if (!above && !below && v >= 0 && v < width)
      value = x[h * width + v];  // GlobalOutOfBounds GlobalUnderflow
    tile[i] = value;
  }
  if (B == Bug::kTwoBarriers && threadIdx.y < 8)
    __syncthreads();
  else if (B != Bug::kMissingBarrier)
    __syncthreads();  // TwoBarriers EarlyReturn
  if (!inside) return;
  float sum = 0;
  for (int r = 0; r < 3; ++r) {
    for (int s = 0; s < 3; ++s) {
      const int lower = B == Bug::kSharedOutOfBounds ? 1 : B == Bug::kSharedUnderflow ? -1 : 0;
      const int at = (int(threadIdx.y) + r + lower) * kSide + int(threadIdx.x) + s;
      const float v = tile[at];  // MissingBarrier SharedOutOfBounds SharedUnderflow Uninitialised
      sum = fma(w[r * 3 + s], v, sum);
    }
  }
  y[row * width + col] = sum;
  if (B == Bug::kWritesInput) const_cast<float*>(x)[row * width + col] = sum;  // WritesInput
}

}  // namespace

void stencil(const float* x, const float* w, float* y, int height, int width, Bug bug) {
  const dim3 grid(unsigned(width + 15) / 16, unsigned(height + 15) / 16), block(16, 16);
  with_bug<Bug::kNone, Bug::kMissingBarrier, Bug::kSharedOutOfBounds, Bug::kSharedUnderflow,
           Bug::kGlobalOutOfBounds, Bug::kGlobalUnderflow, Bug::kUninitialised, Bug::kEarlyReturn,
           Bug::kTwoBarriers, Bug::kWritesInput>(bug, [&](auto b) {
    cnnkern::cuda::launch(stencil_kernel<b.value>, grid, block, 18 * 18 * sizeof(float), nullptr, x,
                          w, y, height, width);
  });
}
