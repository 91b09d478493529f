// SPDX-License-Identifier: BSD-3-Clause
// ldmatrix and mma.sync: the fragment layouts of the PTX manual ("Matrix Fragments for mma"). In
// them a lane is named by its group g = lane / 4 and its place q = lane % 4 in that.
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "instructions.h"
#include "memory.h"
#include "report.h"
#include "shadow.h"

namespace simt {
namespace {

struct RowArgument {
  uint32_t* r;
  const void* row;
};

// Lane l of 8i .. 8i+7 names row l - 8i of matrix i: 8 rows of 8 elements. Lane (g, q) receives
// elements 2q and 2q+1 of row g; transposed, element g of rows 2q and 2q+1.
template <int Count, bool Transposed>
void run_ldmatrix(void* const* lanes, unsigned) {
  const auto lane = [&](int l) { return static_cast<RowArgument*>(lanes[l]); };
  Stats& s = current->stats;
  for (int i = 0; i < Count; ++i) {
    // One pass moves 128 bytes, 16 from each of the 8 columns that the 32 banks make: as many
    // passes as rows share a column.
    unsigned in_column[8] = {};
    for (int r = 0; r < 8; ++r) {
      ++in_column[reinterpret_cast<uintptr_t>(lane(i * 8 + r)->row) / 16 % 8];
    }
    ++s.ldmatrix;
    s.ldmatrix_conflicts += *std::max_element(in_column, in_column + 8) - 1;
    for (int l = 0; l < int(kLanes); ++l) {
      uint16_t v[2];
      for (int e = 0; e < 2; ++e) {
        const int row = Transposed ? l % 4 * 2 + e : l / 4;
        const int column = Transposed ? l / 4 : l % 4 * 2 + e;
        memcpy(&v[e], static_cast<const char*>(lane(i * 8 + row)->row) + column * 2, 2);
      }
      lane(l)->r[i] = v[0] | uint32_t{v[1]} << 16;
    }
  }
}

template <int Count, bool Transposed>
constexpr WarpOperation kLdmatrix{"ldmatrix", run_ldmatrix<Count, Transposed>};

struct Bf16 {
  static float low(uint32_t v) { return std::bit_cast<float>(v << 16); }
  static float high(uint32_t v) { return std::bit_cast<float>(v & 0xffff0000u); }
};
struct F16 {
  static float from(uint16_t bits) { return __half2float(__half(__half_raw{bits})); }
  static float low(uint32_t v) { return from(uint16_t(v)); }
  static float high(uint32_t v) { return from(uint16_t(v >> 16)); }
};

struct MmaArgument {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

using Row8 [[gnu::vector_size(32)]] = float;

// d += a b, one row of d at a time; k ascends.
template <int K>
void multiply(float (&d)[16][8], const float (&a)[16][K], const float (&b)[K][8]) {
  for (int m = 0; m < 16; ++m) {
    Row8 sum;
    memcpy(&sum, d[m], sizeof sum);
    for (int k = 0; k < K; ++k) {
      Row8 row;
      memcpy(&row, b[k], sizeof row);
      sum += a[m][k] * row;
    }
    memcpy(d[m], &sum, sizeof sum);
  }
  current->stats.tensor_multiply_adds += 16 * 8 * K;
}

// Accumulator i of lane (g, q): row g + 8 (i / 2), column 2q + i % 2.
void gather_sums(float (&d)[16][8], void* const* lanes) {
  for (int l = 0; l < int(kLanes); ++l)
    for (int i = 0; i < 4; ++i)
      d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2] = static_cast<MmaArgument*>(lanes[l])->d[i];
}
void scatter_sums(const float (&d)[16][8], void* const* lanes) {
  for (int l = 0; l < int(kLanes); ++l)
    for (int i = 0; i < 4; ++i)
      static_cast<MmaArgument*>(lanes[l])->d[i] = d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}

// k16: a's register i holds row g + 8 (i % 2), columns 2q + 8 (i / 2) and the next; b's register i
// holds rows 2q + 8i and the next, column g.
template <class Element>
void run_mma_k16(void* const* lanes, unsigned) {
  alignas(32) float a[16][16], b[16][8], d[16][8];
  gather_sums(d, lanes);
  for (int l = 0; l < int(kLanes); ++l) {
    const auto* lane = static_cast<MmaArgument*>(lanes[l]);
    const int g = l / 4, k = l % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      a[g + i % 2 * 8][k + i / 2 * 8] = Element::low(lane->a[i]);
      a[g + i % 2 * 8][k + i / 2 * 8 + 1] = Element::high(lane->a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[k + i * 8][g] = Element::low(lane->b[i]);
      b[k + i * 8 + 1][g] = Element::high(lane->b[i]);
    }
  }
  multiply(d, a, b);
  scatter_sums(d, lanes);
}

// tf32, k8: a's register i holds row g + 8 (i % 2), column q + 4 (i / 2); b's register i row q +
// 4i, column g. The unit reads the upper 19 of an operand's 32 bits.
void run_mma_tf32(void* const* lanes, unsigned) {
  alignas(32) float a[16][8], b[8][8], d[16][8];
  const auto value = [](uint32_t v) { return std::bit_cast<float>(v & 0xffffe000u); };
  gather_sums(d, lanes);
  for (int l = 0; l < int(kLanes); ++l) {
    const auto* lane = static_cast<MmaArgument*>(lanes[l]);
    const int g = l / 4, q = l % 4;
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][q + i / 2 * 4] = value(lane->a[i]);
    for (int i = 0; i < 2; ++i) b[q + i * 4][g] = value(lane->b[i]);
  }
  multiply(d, a, b);
  scatter_sums(d, lanes);
}

constexpr WarpOperation kMmaBf16{"mma.sync of bf16", run_mma_k16<Bf16>};
constexpr WarpOperation kMmaF16{"mma.sync of fp16", run_mma_k16<F16>};
constexpr WarpOperation kMmaTf32{"mma.sync of tf32", run_mma_tf32};

}  // namespace

void ldmatrix(uint32_t* r, const void* row, unsigned count, bool transposed, Where where) {
  Block& b = *current;
  void* pc = __builtin_return_address(0);
  if (b.self->tid % kLanes < count * 8) {  // the other lanes' addresses are not looked at
    if (reinterpret_cast<uintptr_t>(row) % 16) fail("misaligned row of ldmatrix", at(pc));
    const size_t offset = shared_offset(b, row, 16, "ldmatrix", pc);
    if (b.checked) shared_access(b, offset, 16, false, pc);
  }
  RowArgument mine{r, row};
  const WarpOperation* operations[] = {&kLdmatrix<1, false>, &kLdmatrix<2, false>,
                                       &kLdmatrix<4, false>, &kLdmatrix<1, true>,
                                       &kLdmatrix<2, true>,  &kLdmatrix<4, true>};
  warp_operation(~0u, &mine, *operations[count / 2 + 3 * transposed], where);
}

void mma_bf16(float* d, const uint32_t* a, const uint32_t* b, Where where) {
  MmaArgument mine{d, a, b};
  warp_operation(~0u, &mine, kMmaBf16, where);
}
void mma_f16(float* d, const uint32_t* a, const uint32_t* b, Where where) {
  MmaArgument mine{d, a, b};
  warp_operation(~0u, &mine, kMmaF16, where);
}
void mma_tf32(float* d, const uint32_t* a, const uint32_t* b, Where where) {
  MmaArgument mine{d, a, b};
  warp_operation(~0u, &mine, kMmaTf32, where);
}

}  // namespace simt
