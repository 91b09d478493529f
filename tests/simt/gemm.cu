// SPDX-License-Identifier: BSD-3-Clause
// c = a b^T in bf16: 64x64 tiles, cp.async into two stages, ldmatrix, mma.sync.
#include "kernels.h"

#include <cuda_bf16.h>

#include "../../csrc/cuda/arch/copy.h"
#include "../../csrc/cuda/arch/mma.h"
#include "../../csrc/cuda/arch/warp.h"
#include "../../csrc/cuda/launch.h"

namespace {

using namespace cnnkern::cuda;
using bf16 = __nv_bfloat16;
constexpr int kRows = 64, kCols = 64, kDepth = 32;

// Shared tiles have rows of four 16-byte chunks; chunk c of row r lies at c ^ (r / 2 % 4).
__device__ inline bf16* chunk(bf16* tile, int r, int c) {
  return tile + r * kDepth + (c ^ (r / 2 & 3)) * 8;
}

template <Bug B>
__global__ void __launch_bounds__(128)
    gemm_kernel(const bf16* a, const bf16* b, float* c, int m, int n, int k) {
  CK_SMEM(raw);
  bf16* sa = reinterpret_cast<bf16*>(raw);
  bf16* sb = sa + 2 * kRows * kDepth;
  const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  const int m0 = blockIdx.y * kRows, n0 = blockIdx.x * kCols, wm = warp / 2 * 32,
            wn = warp % 2 * 32;

  auto load = [&](int stage, int k0) {
    for (int i = tid; i < kRows * 4; i += 128) {
      const int r = i / 4, q = i % 4;
      const bool in = m0 + r < m;
      const bf16* from = in ? a + size_t(m0 + r) * k + k0 + q * 8 : a;
      bf16* to = chunk(sa + stage * kRows * kDepth, r, q);
      cp_async<16>(to, from, in ? 16 : 0);  // MissingSecondBarrier
    }
    for (int i = tid; i < kCols * 4; i += 128) {
      const int r = i / 4, q = i % 4;
      const bool in = n0 + r < n;
      const bf16* from = in ? b + size_t(n0 + r) * k + k0 + q * 8 : b;
      cp_async<16>(chunk(sb + stage * kCols * kDepth, r, q), from, in ? 16 : 0);
    }
    cp_async_commit();
  };

  float acc[2][4][4] = {};
  load(0, 0);
  for (int k0 = 0, stage = 0; k0 < k; k0 += kDepth, stage ^= 1) {
    if (k0 + kDepth < k) {
      load(stage ^ 1, k0 + kDepth);
      cp_async_wait<1>();
    } else {
      cp_async_wait<B == Bug::kMissingWait>();
    }
    __syncthreads();
    bf16* ta = sa + stage * kRows * kDepth;
    bf16* tb = sb + stage * kCols * kDepth;
#pragma unroll
    for (int kk = 0; kk < kDepth / 8; kk += 2) {
      uint32_t fa[2][4], fb[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i)
        ldmatrix_x4(fa[i], chunk(ta, wm + i * 16 + lane % 16, kk + lane / 16));  // MissingWait
#pragma unroll
      for (int j = 0; j < 2; ++j)
        ldmatrix_x4(fb[j], chunk(tb, wn + j * 16 + lane / 16 * 8 + lane % 8, kk + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const uint32_t bj[2] = {fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]};
          if (B == Bug::kMmaInBranch && lane == 9) continue;
          mma_bf16(acc[i][j], fa[i], bj);  // MmaInBranch
        }
    }
    if (B != Bug::kMissingSecondBarrier) __syncthreads();  // the next load overwrites this stage
  }
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int row = m0 + wm + i * 16 + lane / 4 + e / 2 * 8,
                  col = n0 + wn + j * 8 + lane % 4 * 2 + e % 2;
        if (row < m && col < n) c[size_t(row) * n + col] = acc[i][j][e];
      }
}

}  // namespace

void gemm(const void* a, const void* b, float* c, int m, int n, int k, Bug bug) {
  const dim3 grid(unsigned(n + kCols - 1) / kCols, unsigned(m + kRows - 1) / kRows);
  with_bug<Bug::kNone, Bug::kMissingWait, Bug::kMissingSecondBarrier, Bug::kMmaInBranch>(
      bug, [&](auto planted) {
        launch(gemm_kernel<planted.value>, grid, dim3(128), 2 * (kRows + kCols) * kDepth * 2,
               nullptr, static_cast<const bf16*>(a), static_cast<const bf16*>(b), c, m, n, k);
      });
}
