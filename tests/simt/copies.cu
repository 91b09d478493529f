// SPDX-License-Identifier: BSD-3-Clause
// y = x by cp.async of 16, 8 and 4 bytes, and by ldmatrix: 64 threads and 256 floats a block.
#include "kernels.h"

#include "../../csrc/cuda/arch/copy.h"
#include "../../csrc/cuda/arch/warp.h"
#include "../../csrc/cuda/launch.h"

namespace {

using namespace cnnkern::cuda;

template <Bug B>
__global__ void copies_kernel(const float* x, float* y, int n, int zero) {
  CK_SMEM(raw);
  float* s = reinterpret_cast<float*>(raw);
  const int tid = int(threadIdx.x), first = int(blockIdx.x) * 256;
  x += first;
  float* mine = s + 4 * tid;
  if (tid < 32) {
    cp_async<16>(mine, x + 4 * tid);
  } else {
    cp_async<8>(mine, x + 4 * tid);
    cp_async<4>(mine + 2, x + 4 * tid + 2);
    cp_async<4>(mine + 3, x, 0);  // a zero
  }
  if (B == Bug::kCopyMisaligned) cp_async<8>(mine + 1 - zero, x + 4 * tid);  // CopyMisaligned
  if (B == Bug::kCopyTooMuch) cp_async<8>(mine, x + 4 * tid, unsigned(12 + zero));  // CopyTooMuch
  if (B == Bug::kCopyOutOfBounds) cp_async<16>(mine, x + n);  // CopyOutOfBounds
  if (B == Bug::kCopySharedOutOfBounds && tid == 63)
    cp_async<16>(mine + 4, x);  // CopySharedOutOfBounds
  if (B != Bug::kCopyNoCommit) cp_async_commit();
  if (B == Bug::kCopyOverwritten) mine[1] = 1;  // CopyOverwritten
  if (B != Bug::kCopyNoWait) cp_async_wait<0>();
  if (tid >= 32) mine[3] += x[4 * tid + 3];  // CopyNoWait CopyNoCommit
  if (B != Bug::kCopyNoBarrier) __syncthreads();

  // Each warp reads the other one's half: as rows of four 8x8 matrices of 16-bit elements, of which
  // lane l receives word l % 4 of row l / 4.
  const int lane = tid % 32, warp = tid / 32, other = 1 - warp;
  const char* row = reinterpret_cast<const char*>(s + 128 * other + 4 * lane);
  if (B == Bug::kRowMisaligned) row += 8;
  if (B == Bug::kRowOutOfBounds && other == 1) row += 16;
  if (B == Bug::kRowUninitialised) row = reinterpret_cast<const char*>(s + 256 + 4 * lane);
  uint32_t r[4];
  ldmatrix_x4(r, row);  // RowMisaligned RowOutOfBounds RowUninitialised CopyNoBarrier
  uint32_t* out = reinterpret_cast<uint32_t*>(y) + first + 128 * other;
  for (int i = 0; i < 4; ++i) out[(i * 8 + lane / 4) * 4 + lane % 4] = r[i];
}

}  // namespace

void copies(const float* x, float* y, int n, Bug bug) {
  with_bug<Bug::kNone, Bug::kCopyNoWait, Bug::kCopyNoCommit, Bug::kCopyOverwritten,
           Bug::kCopyMisaligned, Bug::kCopyTooMuch, Bug::kCopyOutOfBounds,
           Bug::kCopySharedOutOfBounds, Bug::kCopyNoBarrier, Bug::kRowMisaligned,
           Bug::kRowOutOfBounds, Bug::kRowUninitialised>(bug, [&](auto b) {
    const size_t smem_bytes = b.value == Bug::kRowUninitialised ? 1024 + 512 : 1024;
    launch(copies_kernel<b.value>, dim3(unsigned(n) / 256), dim3(64), smem_bytes, nullptr, x, y, n,
           0);
  });
}
