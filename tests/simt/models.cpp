// SPDX-License-Identifier: BSD-3-Clause
// The instructions' models against their definitions in the PTX manual, written out here once more,
// element by element and in the manual's own terms.
#include <cmath>
#include <cstdio>

#include "check.h"

namespace {

uint16_t to_f16(float f) {  // of numbers that fp16 holds exactly
  if (f == 0) return 0;
  int exponent;
  const float m = std::frexp(std::abs(f), &exponent);
  return uint16_t((f < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | (int(m * 2048) & 0x3ff));
}
uint32_t bits_of(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

// "Matrix Fragments for mma.m16n8k16" and "mma.m16n8k8 with .tf32": row and column of element i of
// a lane's fragment.
struct Place {
  int row, col;
};
Place place_a16(int lane, int i) {
  const int group = lane >> 2, in_group = lane % 4;
  const bool upper = i < 2 || (4 <= i && i < 6);
  return {upper ? group : group + 8, in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
Place place_b16(int lane, int i) { return {lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2}; }
Place place_a8(int lane, int i) {
  return {(lane >> 2) + (i == 1 || i == 3 ? 8 : 0), lane % 4 + (i >= 2 ? 4 : 0)};
}
Place place_b8(int lane, int i) { return {lane % 4 + (i == 1 ? 4 : 0), lane >> 2}; }
Place place_c(int lane, int i) { return {(lane >> 2) + (i < 2 ? 0 : 8), lane % 4 * 2 + (i & 1)}; }

void test_mma(int type) {
  const int depth = type == 2 ? 8 : 16;
  float a[16][16], b[16][8], c[16][8];
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < depth; ++k) a[i][k] = value(size_t(31 * i + k));
    for (int j = 0; j < 8; ++j) c[i][j] = value(size_t(900 + 8 * i + j));
  }
  for (int k = 0; k < depth; ++k)
    for (int j = 0; j < 8; ++j) b[k][j] = value(size_t(500 + 8 * k + j));
  Buffer<uint32_t> ra(128, "a"), rb(64, "b");
  Buffer<float> rc(128, "c"), rd(128, "d", true);
  const auto half = [&](float f) { return type == 0 ? to_bf16(f) : to_f16(f); };
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 4; ++i) rc[l * 4 + i] = c[place_c(l, i).row][place_c(l, i).col];
    if (type == 2) {
      for (int i = 0; i < 4; ++i)
        ra[l * 4 + i] = bits_of(a[place_a8(l, i).row][place_a8(l, i).col]);
      for (int i = 0; i < 2; ++i)
        rb[l * 2 + i] = bits_of(b[place_b8(l, i).row][place_b8(l, i).col]);
      continue;
    }
    for (int i = 0; i < 8; ++i)
      ra[l * 4 + i / 2] |= uint32_t{half(a[place_a16(l, i).row][place_a16(l, i).col])}
                           << i % 2 * 16;
    for (int i = 0; i < 4; ++i)
      rb[l * 2 + i / 2] |= uint32_t{half(b[place_b16(l, i).row][place_b16(l, i).col])}
                           << i % 2 * 16;
  }
  mma_fragments(type, ra.data(), rb.data(), rc.data(), rd.data());
  bool equal = true;  // eighths and their products: exact in any order
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 4; ++i) {
      const Place p = place_c(l, i);
      float sum = c[p.row][p.col];
      for (int k = 0; k < depth; ++k) sum += a[p.row][k] * b[k][p.col];
      equal &= rd[l * 4 + i] == sum;
    }
  }
  check(equal, "mma.sync of type " + std::to_string(type));
}

void test_ldmatrix(int count, bool transposed) {
  Buffer<uint16_t> rows(size_t(count) * 64, "rows");
  Buffer<uint32_t> r(size_t(count) * 32, "r", true);
  for (size_t i = 0; i < rows.v.size(); ++i) rows[i] = uint16_t(i * 7 + 1);
  ldmatrix_registers(count, transposed, rows.data(), r.data());
  bool equal = true;
  for (int l = 0; l < 32; ++l) {
    for (int m = 0; m < count; ++m) {
      for (int e = 0; e < 2; ++e) {
        const int row = transposed ? l % 4 * 2 + e : l / 4,
                  col = transposed ? l / 4 : l % 4 * 2 + e;
        equal &= uint16_t(r[l * count + m] >> 16 * e) == rows[m * 64 + row * 8 + col];
      }
    }
  }
  check(equal, "ldmatrix x" + std::to_string(count) + (transposed ? ".trans" : ""));
}

void test_copies() {
  for (int bytes : {4, 8, 16}) {
    for (int from_bytes = 0; from_bytes <= bytes; ++from_bytes) {
      // No more than from_bytes are there to be read.
      Buffer<uint8_t> from(16, "from"), to(size_t(bytes), "to", true);
      for (int i = 0; i < 16; ++i) from[i] = uint8_t(i + 1);
      copy_bytes(bytes, from_bytes, from.data(), to.data());
      bool equal = true;
      for (int i = 0; i < bytes; ++i) equal &= to[i] == (i < from_bytes ? i + 1 : 0);
      check(equal, "cp.async of " + std::to_string(from_bytes) + " of " + std::to_string(bytes));
    }
  }
}

// The pseudo-code of shfl.sync: c holds the segment mask and the clamp.
int shuffle_source(char mode, int lane, int b, int width) {
  const int segment_mask = 32 - width;
  const int clamp = mode == 'u' ? 0 : 31;
  const int max_lane = (lane & segment_mask) | (clamp & ~segment_mask & 31);
  const int min_lane = lane & segment_mask;
  int j = 0;
  bool inside = false;
  if (mode == 'u') j = lane - b, inside = j >= max_lane;
  if (mode == 'd') j = lane + b, inside = j <= max_lane;
  if (mode == 'x') j = lane ^ b, inside = j <= max_lane;
  if (mode == 'i') j = min_lane | (b & ~segment_mask & 31), inside = j <= max_lane;
  return inside ? j : lane;
}

void test_shuffles() {
  for (int width : {1, 2, 4, 8, 16, 32}) {
    Buffer<int> operand(32, "operand"), out(128, "out", true);
    for (int salt = 0; salt < 5; ++salt) {
      bool equal = true;
      for (int l = 0; l < 32; ++l) operand[l] = salt < 4 ? 1 << salt : (l * 11 + 5) % 32;
      shuffles(width, operand.data(), out.data());
      const char modes[] = {'i', 'u', 'd', 'x'};
      for (int m = 0; m < 4; ++m)
        for (int l = 0; l < 32; ++l)
          equal &= out[32 * m + l] == 100 + shuffle_source(modes[m], l, operand[l], width);
      check(equal, "shuffles of width " + std::to_string(width));
    }
  }
}

void test_votes() {
  Buffer<int> vote(32, "vote");
  Buffer<unsigned> out(96, "out", true);
  for (unsigned pattern : {0u, ~0u, 0x12345678u, 0x55555555u}) {
    for (int l = 0; l < 32; ++l) vote[l] = pattern >> l & 1;
    votes(vote.data(), out.data());
    bool equal = true;
    for (int l = 0; l < 32; ++l) {
      const unsigned mask = l % 2 ? 0xaaaaaaaau : 0x55555555u;
      equal &= out[l] == (pattern & mask);
      equal &= out[32 + l] == unsigned((pattern & mask) != 0);
      equal &= out[64 + l] == unsigned((pattern & mask) == mask);
    }
    check(equal, "votes");
  }
}

void test_atomics() {
  constexpr int kCount = 1000;
  Buffer<int> x(kCount, "x"), out(6, "out", true);
  int sum = 0, least = 0, most = 0, all = 0, odd = 0;
  for (int i = 0; i < kCount; ++i) {
    x[i] = i * 37 % 501 - 250;
    sum += x[i];
    least = std::min(least, x[i]);
    most = std::max(most, x[i]);
    all |= x[i];
    odd ^= x[i];
  }
  for (int& v : out.v) v = 0;
  atomics(x.data(), kCount, out.data());
  check(out[0] == sum && out[1] == least && out[2] == most && out[3] == all && out[4] == odd &&
            out[5] == kCount,
        "atomics");
}

// 1 + 2^-12 squared, less 1 + 2^-11: what only a single rounding leaves.
void test_fma() {
  Buffer<float> x(3, "x"), y(1, "y", true);
  x[0] = x[1] = 1 + 0x1p-12f;
  x[2] = -(1 + 0x1p-11f);
  fused(x.data(), y.data());
  check(y[0] == 0x1p-24f, "fma rounds once");
}

}  // namespace

void test_models() {
  for (int type = 0; type < 3; ++type) test_mma(type);
  for (int count : {1, 2, 4}) {
    test_ldmatrix(count, false);
    test_ldmatrix(count, true);
  }
  test_copies();
  test_shuffles();
  test_votes();
  test_atomics();
  test_fma();
}
