// SPDX-License-Identifier: BSD-3-Clause
// The machine instructions that csrc/cuda/arch wraps, as calls. Their meaning is that of the PTX
// manual; what the emulator adds is in README.md.
#pragma once
#include "simt.h"

namespace simt {

// cp.async: bytes is 4, 8 or 16; of these from_bytes are read and the rest become zero.
void cp_async(void* to, const void* from, unsigned bytes, unsigned from_bytes);
void cp_async_commit();
void cp_async_wait(unsigned pending_groups);
void cp_async_wait_all();

// ldmatrix.m8n8: count is 1, 2 or 4.
void ldmatrix(uint32_t* r, const void* row, unsigned count, bool transposed, Where where);

// mma.sync, row.col, accumulators in fp32: m16n8k16 of bf16 or fp16, m16n8k8 of tf32.
void mma_bf16(float* d, const uint32_t* a, const uint32_t* b, Where where);
void mma_f16(float* d, const uint32_t* a, const uint32_t* b, Where where);
void mma_tf32(float* d, const uint32_t* a, const uint32_t* b, Where where);

// mbarrier: expect_tx arrives once and adds bytes to what the phase waits for.
void mbarrier_init(uint64_t* bar, unsigned count);
void mbarrier_expect_tx(uint64_t* bar, unsigned bytes);
void mbarrier_arrive(uint64_t* bar);
void mbarrier_wait(uint64_t* bar, unsigned parity, Where where);
void fence_proxy_async();

namespace values {  // so that calls with one do not find the functions of simt by its type
// What a tensor copy needs of a CUtensorMap; fastest axis first.
struct TensorMap {
  const unsigned char* base = nullptr;
  unsigned element = 2;              // bytes
  unsigned dim[4] = {1, 1, 1, 1};    // C, W, H, N; tiled: columns, rows
  int lower[2] = {}, upper[2] = {};  // corners of the im2col bounding box in W and H
  unsigned stride[2] = {1, 1};       // in W and H, in elements
  unsigned rows = 0, cols = 0;       // of the box: rows of cols elements, 128 bytes
};
}  // namespace values
using values::TensorMap;

// cp.async.bulk.tensor into shared memory, with the 128-byte swizzle; completes bar's bytes.
void tma_im2col(void* to, const TensorMap& map, int c, int w, int h, int n, unsigned w_offset,
                unsigned h_offset, uint64_t* bar);
void tma_tile(void* to, const TensorMap& map, int col, int row, uint64_t* bar);

// wgmma.mma_async.m64nNk16 of bf16: both operands K-major in shared memory with the 128-byte
// swizzle. d holds n / 2 accumulators; they are NaN until the wait.
void wgmma_bf16(float* d, unsigned n, uint64_t a, uint64_t b, Where where);
void wgmma_commit();
void wgmma_wait(unsigned pending_groups);

}  // namespace simt
