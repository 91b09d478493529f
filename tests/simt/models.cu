// SPDX-License-Identifier: BSD-3-Clause
// One instruction each, given and returning what the lanes of a warp hold: models.cpp compares them
// with their definitions.
#include "kernels.h"

#include "../../csrc/cuda/arch/copy.h"
#include "../../csrc/cuda/arch/math.h"
#include "../../csrc/cuda/arch/mma.h"
#include "../../csrc/cuda/arch/warp.h"
#include "../../csrc/cuda/launch.h"

namespace {

using namespace cnnkern::cuda;
constexpr unsigned kAll = ~0u;

// Lane l's operands lie at a[4 l], b[2 l], c[4 l].
template <int Type>
__global__ void mma_kernel(const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  const unsigned l = threadIdx.x;
  uint32_t ra[4], rb[2];
  float rd[4];
  for (int i = 0; i < 4; ++i) ra[i] = a[4 * l + i];
  for (int i = 0; i < 2; ++i) rb[i] = b[2 * l + i];
  for (int i = 0; i < 4; ++i) rd[i] = c[4 * l + i];
  if (Type == 0) mma_bf16(rd, ra, rb);
  if (Type == 1) mma_f16(rd, ra, rb);
  if (Type == 2) {
    for (uint32_t& v : ra) v = to_tf32(__uint_as_float(v));
    mma_tf32(rd, ra, rb);
  }
  for (int i = 0; i < 4; ++i) d[4 * l + i] = rd[i];
}

// Row i of 8 elements is lane i's address.
template <int Count, bool Transposed>
__global__ void ldmatrix_kernel(const uint16_t* rows, uint32_t* out) {
  CK_SMEM(raw);
  auto* s = reinterpret_cast<uint16_t*>(raw);
  const unsigned l = threadIdx.x;
  for (unsigned i = l; i < Count * 64; i += 32) s[i] = rows[i];
  __syncthreads();
  uint32_t r[Count];
  const uint16_t* mine = s + l % (8 * Count) * 8;
  if constexpr (Count == 1 && !Transposed) ldmatrix_x1(r, mine);
  if constexpr (Count == 2 && !Transposed) ldmatrix_x2(r, mine);
  if constexpr (Count == 4 && !Transposed) ldmatrix_x4(r, mine);
  if constexpr (Count == 1 && Transposed) ldmatrix_trans_x1(r, mine);
  if constexpr (Count == 2 && Transposed) ldmatrix_trans_x2(r, mine);
  if constexpr (Count == 4 && Transposed) ldmatrix_trans_x4(r, mine);
  for (int i = 0; i < Count; ++i) out[Count * l + i] = r[i];
}

template <int Bytes>
__global__ void copy_kernel(const uint8_t* from, uint8_t* to, unsigned from_bytes) {
  CK_SMEM(raw);
  cp_async<Bytes>(raw, from, from_bytes);
  cp_async_commit();
  cp_async_wait<0>();
  for (int i = 0; i < Bytes; ++i) to[i] = raw[i];
}

__global__ void shuffle_kernel(const int* operand, int* out, int width) {
  const int l = int(threadIdx.x), value = 100 + l;
  out[l] = __shfl_sync(kAll, value, operand[l], width);
  out[32 + l] = __shfl_up_sync(kAll, value, unsigned(operand[l]), width);
  out[64 + l] = __shfl_down_sync(kAll, value, unsigned(operand[l]), width);
  out[96 + l] = int(__shfl_xor_sync(kAll, double(value), operand[l], width));
}

__global__ void vote_kernel(const int* vote, unsigned* out) {
  const unsigned l = threadIdx.x, mask = l % 2 ? 0xaaaaaaaau : 0x55555555u;
  if (l % 2) {  // odd and even lanes by themselves
    out[l] = __ballot_sync(mask, vote[l]);
    out[32 + l] = unsigned(__any_sync(mask, vote[l]));
    out[64 + l] = unsigned(__all_sync(mask, vote[l]));
  } else {
    out[l] = __ballot_sync(mask, vote[l]);
    out[32 + l] = unsigned(__any_sync(mask, vote[l]));
    out[64 + l] = unsigned(__all_sync(mask, vote[l]));
  }
}

__global__ void atomic_kernel(const int* x, int n, int* out) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  atomicAdd(&out[0], x[i]);
  atomicMin(&out[1], x[i]);
  atomicMax(&out[2], x[i]);
  atomicOr(&out[3], x[i]);
  atomicXor(&out[4], x[i]);
  int seen = 0;
  for (int old = -1; old != seen;) {
    old = seen;
    seen = atomicCAS(&out[5], old, old + 1);
  }
}

__global__ void fused_kernel(const float* x, float* y) {
  y[0] = cnnkern::cuda::fma(x[0], x[1], x[2]);
}

// A block copies 256 floats, twice over, by 16 bytes; reads a float of its neighbour's; and counts
// four multiply-adds a thread.
__global__ void counted_kernel(const float* x, float* y, int n) {
  const int i = int(blockIdx.x * 64 + threadIdx.x) * 4;
  float4 v = *reinterpret_cast<const float4*>(x + i);
  v = *reinterpret_cast<const volatile int*>(&n) > 0 ? *reinterpret_cast<const float4*>(x + i) : v;
  v.x = cnnkern::cuda::fma(v.x, 1.f, 0.f);
  v.y = cnnkern::cuda::fma(v.y, 1.f, 0.f);
  v.z = cnnkern::cuda::fma(v.z, 1.f, 0.f);
  v.w = cnnkern::cuda::fma(v.w, 1.f, 0.f);
  *reinterpret_cast<float4*>(y + i) = v;
}

__global__ void barriers_kernel(float* y, int count) {
  CK_SMEM(raw);
  float* s = reinterpret_cast<float*>(raw);
  s[threadIdx.x] = 0;
  __syncthreads();
  for (int k = 0; k < count; ++k) {
    const float v = s[threadIdx.x ^ 1];
    __syncthreads();
    s[threadIdx.x] = v + 1;
    __syncthreads();
  }
  y[threadIdx.x] = s[threadIdx.x];
}

}  // namespace

void mma_fragments(int type, const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  const auto kernel = type == 0 ? mma_kernel<0> : type == 1 ? mma_kernel<1> : mma_kernel<2>;
  launch(kernel, dim3(1), dim3(32), 0, nullptr, a, b, c, d);
}

void ldmatrix_registers(int count, bool transposed, const uint16_t* rows, uint32_t* r) {
  const auto one = transposed ? ldmatrix_kernel<1, true> : ldmatrix_kernel<1, false>;
  const auto two = transposed ? ldmatrix_kernel<2, true> : ldmatrix_kernel<2, false>;
  const auto four = transposed ? ldmatrix_kernel<4, true> : ldmatrix_kernel<4, false>;
  launch(count == 1 ? one : count == 2 ? two : four, dim3(1), dim3(32), 512, nullptr, rows, r);
}

void copy_bytes(int bytes, int from_bytes, const uint8_t* from, uint8_t* to) {
  const auto kernel = bytes == 4 ? copy_kernel<4> : bytes == 8 ? copy_kernel<8> : copy_kernel<16>;
  launch(kernel, dim3(1), dim3(1), 16, nullptr, from, to, unsigned(from_bytes));
}

void shuffles(int width, const int* operand, int* out) {
  launch(shuffle_kernel, dim3(1), dim3(32), 0, nullptr, operand, out, width);
}
void votes(const int* vote, unsigned* out) {
  launch(vote_kernel, dim3(1), dim3(32), 0, nullptr, vote, out);
}
void atomics(const int* x, int n, int* out) {
  launch(atomic_kernel, dim3(unsigned(n + 63) / 64), dim3(64), 0, nullptr, x, n, out);
}
void fused(const float* x, float* y) { launch(fused_kernel, dim3(1), dim3(1), 0, nullptr, x, y); }
void counted(const float* x, float* y, int n) {
  launch(counted_kernel, dim3(unsigned(n) / 256), dim3(64), 0, nullptr, x, y, n);
}
void many_barriers(float* y, int count) {
  launch(barriers_kernel, dim3(1), dim3(2), 8, nullptr, y, count);
}
