// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "simt.h"

namespace simt {
// All lanes of mask meet; the last to arrive runs op over every lane's argument; then all go on.

void cp_async(void* dst, const void* src, unsigned bytes, unsigned src_bytes);
void cp_async_commit();
void cp_async_wait(unsigned pending_groups);
void ldmatrix_x4(uint32_t* r, const void* row, bool transposed, Where where);
void mma_m16n8k16_bf16(float* d, const uint32_t* a, const uint32_t* b, Where where);

void mbar_init(uint64_t* bar, unsigned count);
void mbar_expect_tx(uint64_t* bar, unsigned bytes);  // arrives once and adds bytes to the phase
void mbar_arrive(uint64_t* bar);
void mbar_wait(uint64_t* bar, unsigned parity, Where where);
// Bulk copy by the asynchronous engine: rows of row_bytes, source null for a row of zeros.
void bulk_copy_rows(void* dst, const void* const* rows, unsigned n, unsigned row_bytes,
                    bool swizzle128, uint64_t* bar, void* pc);

// The part of a CUtensorMap that an im2col (4d, NHWC) or tiled (2d) load needs; fastest dimension
// first.
struct TensorMap {
  const unsigned char* base = nullptr;
  unsigned element = 2, dim[4] = {1, 1, 1, 1};  // C, W, H, N
  int lower[2] = {}, upper[2] = {};             // W and H corners of the im2col bounding box
  unsigned stride[2] = {1, 1}, rows = 0,
           cols = 0;  // element strides in W, H; the box: rows of cols elements
};
void tma_im2col(void* dst, const TensorMap& map, int c, int w, int h, int n, unsigned w_off,
                unsigned h_off, uint64_t* bar);
void tma_tile(void* dst, const TensorMap& map, int col, int row, uint64_t* bar);
void fence_proxy_async();
// Descriptors name K-major bf16 tiles in shared memory with the 128-byte swizzle; d has n / 2
// values.
void wgmma_m64k16_bf16(float* d, unsigned n, uint64_t desc_a, uint64_t desc_b, Where where);
void wgmma_commit();
void wgmma_wait(unsigned pending_groups);

}  // namespace simt
