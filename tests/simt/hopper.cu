// SPDX-License-Identifier: BSD-3-Clause
// Convolution as an implicit matrix product on sm_90a: TMA im2col copies in two stages, wgmma.
// y[n,p,q,o] = sum of x[n, p + r - pad, q + s - pad, c] * w[o,r,s,c]; c and o multiples of 64. The
// report of a race names the instruction whose access came second.
#include "kernels.h"

#include "../../csrc/cuda/arch/tma.h"
#include "../../csrc/cuda/arch/wgmma.h"
#include "../../csrc/cuda/launch.h"

namespace {

using namespace cnnkern::cuda;
constexpr int kTileBytes = 64 * 128, kStages = 2;  // bytes of one operand tile: 64 rows of 64 bf16

template <Bug B>
__global__ void __launch_bounds__(160)
    conv_wgmma_kernel(const __grid_constant__ TensorMap xmap,
                      const __grid_constant__ TensorMap wmap, float* y, int n, int h, int w, int c,
                      int o, int ksize, int pad) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  CK_SMEM(smem);
  unsigned char* sx = smem;
  unsigned char* sw = smem + kStages * kTileBytes;
  uint64_t* full = reinterpret_cast<uint64_t*>(smem + 2 * kStages * kTileBytes);
  uint64_t* empty = full + kStages;
  const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  const int pixel0 = blockIdx.x * 64, o0 = blockIdx.y * 64, steps = ksize * ksize * (c / 64);
  if (tid == 0 && B != Bug::kNoInit) {
    for (int s = 0; s < kStages; ++s) {
      mbarrier_init(&full[s], 1);
      mbarrier_init(&empty[s], 128);
    }
  }
  if (B != Bug::kInitNoBarrier) __syncthreads();

  if (warp == 4) {  // producer
    if (lane == 0) {
      const int q0 = pixel0 % w, p0 = pixel0 / w % h, n0 = pixel0 / (w * h);
      for (int i = 0; i < steps; ++i) {
        const int stage = i % kStages, tap = i / (c / 64), c0 = i % (c / 64) * 64;
        if (i >= kStages)
          mbarrier_wait(&empty[stage], unsigned(i / kStages - 1) & 1);  // WrongBytes
        mbarrier_expect_tx(&full[stage], 2 * kTileBytes + (B == Bug::kWrongBytes ? 64 : 0));
        unsigned char* to = sx + stage * kTileBytes;
        const int r = tap / ksize, s = tap % ksize, p = p0 - pad, q = q0 - pad;
        tma_im2col(to, xmap, c0, q, p, n0, s, r, &full[stage]);  // ReleaseBeforeWait NoWgmmaWait
        tma_tile(sw + stage * kTileBytes, wmap, tap * c + c0, o0, &full[stage]);
      }
    }
    return;
  }
  float acc[32] = {};
  for (int i = 0; i < steps; ++i) {
    const int stage = i % kStages;
    if (B != Bug::kNoFullWait) mbarrier_wait(&full[stage], i / kStages & 1);
    if (B == Bug::kNoProxyFence ||
        B == Bug::kProxyFence) {  // an epilogue-like rewrite of the operand by ordinary stores
      uint4* mine = reinterpret_cast<uint4*>(sw + stage * kTileBytes) + tid;
      mine->x += n >> 30;  // nothing, but the compiler cannot know
      if (B == Bug::kProxyFence) fence_proxy_async();
      bar_sync(1, 128);
    }
    wgmma_fence();
    for (int k = 0; k < 4; ++k) {
      const uint64_t a = wgmma_descriptor(shared_address(sx + stage * kTileBytes) + k * 32);
      const uint64_t b = wgmma_descriptor(shared_address(sw + stage * kTileBytes) + k * 32);
      wgmma_m64n64k16_bf16(acc, a, b);  // NoFullWait NoProxyFence
    }
    wgmma_commit();
    if (B == Bug::kReleaseBeforeWait) mbarrier_arrive(&empty[stage]);
    if (B != Bug::kNoWgmmaWait) wgmma_wait<0>();
    if (B != Bug::kReleaseBeforeWait) mbarrier_arrive(&empty[stage]);
  }
  for (int i = 0; i < 32; ++i) {
    const int pixel = pixel0 + warp * 16 + lane / 4 + i / 2 % 2 * 8,
              col = o0 + i / 4 * 8 + lane % 4 * 2 + i % 2;
    if (pixel < n * h * w) y[size_t(pixel) * o + col] = acc[i];
  }
#endif
}
}  // namespace

void conv_wgmma(const void* xmap, const void* wmap, float* y, int n, int h, int w, int c, int o,
                int ksize, int pad, Bug bug) {
  const dim3 grid(unsigned(n * h * w + 63) / 64, unsigned(o) / 64);
  with_bug<Bug::kNone, Bug::kWrongBytes, Bug::kNoFullWait, Bug::kReleaseBeforeWait,
           Bug::kNoProxyFence, Bug::kProxyFence, Bug::kNoWgmmaWait, Bug::kNoInit,
           Bug::kInitNoBarrier>(bug, [&](auto b) {
    launch(conv_wgmma_kernel<b.value>, grid, dim3(160), 2 * kStages * kTileBytes + 64, nullptr,
           *static_cast<const TensorMap*>(xmap), *static_cast<const TensorMap*>(wmap), y, n, h, w,
           c, o, ksize, pad);
  });
}
