// SPDX-License-Identifier: BSD-3-Clause
// wgmma: 128 threads meet, the last one computes. The reads of a wgmma in flight are those of an
// agent of its warpgroup, which a thread knows of only after its wait; its accumulators are NaN
// until then. The operands' writes are looked at as the last thread to arrive knows them.
#include <bit>
#include <cstring>
#include <map>
#include <memory>

#include "async.h"
#include "instructions.h"
#include "report.h"
#include "shadow.h"

namespace simt {
namespace {

constexpr unsigned kGroupThreads = 128, kMostColumns = 256;

struct Operands {
  float a[64][16], w[kMostColumns][16], w_transposed[16][kMostColumns], sum[64][kMostColumns];
};

struct WgmmaArgument {
  float* d;
  uint64_t a, b;
};

// K-major: rows of 128 swizzled bytes in groups of 8, each group some bytes after the last.
void read_operand(Block& b, uint64_t descriptor, unsigned rows, float (*to)[16], Epoch agent,
                  void* pc) {
  const size_t start = (descriptor & 0x3fff) << 4;
  const size_t group_bytes = (descriptor >> 32 & 0x3fff) << 4;
  if (descriptor >> 62 != 1)
    fail("a wgmma descriptor of another layout than the 128-byte swizzle", at(pc));
  for (unsigned r = 0; r < rows; ++r) {
    for (unsigned k = 0; k < 16; k += 8) {
      const size_t plain = start + r / 8 * group_bytes + r % 8 * 128 + k * 2;
      const unsigned char* chunk = b.smem + swizzle128(plain);
      const size_t offset = shared_offset(b, chunk, 16, "wgmma", pc);
      if (b.checked) shared_access(b, offset, 16, false, pc, Kind::agent, agent);
      uint16_t v[8];
      memcpy(v, chunk, sizeof v);
      for (int i = 0; i < 8; ++i) to[r][k + i] = std::bit_cast<float>(uint32_t{v[i]} << 16);
    }
  }
}

// What the thread's accumulators at d will be: those of a wgmma in flight if there is one.
std::vector<float> sums_so_far(const Thread& t, const float* d, unsigned count) {
  for (auto it = t.sums.rbegin(); it != t.sums.rend(); ++it)
    if (it->to == d) return it->value;
  return {d, d + count};
}

}  // namespace

void wgmma_bf16(float* d, unsigned n, uint64_t desc_a, uint64_t desc_b, Where where) {
  Block& b = *current;
  Thread& t = *b.self;
  void* pc = __builtin_return_address(0);
  const unsigned group = t.tid / kGroupThreads, first = group * kGroupThreads;
  if (first + kGroupThreads > b.threads_in_block)
    fail("wgmma in a warpgroup of fewer than 128 threads", at(pc));
  WgmmaArgument mine{d, desc_a, desc_b};
  t.argument = &mine;
  if (++b.group_arrived[group] < kGroupThreads) return block_on(b, "its warpgroup", where);
  b.group_arrived[group] = 0;

  // On the heap: a library that another program loads gets few bytes of thread-local memory.
  static thread_local const auto operands = std::make_unique<Operands>();
  auto& [a, w, w_transposed, sum] = *operands;
  for (unsigned l = 0; l < kGroupThreads; ++l) {
    const auto* other = static_cast<WgmmaArgument*>(b.threads[first + l].argument);
    if (other->a != desc_a || other->b != desc_b)
      fail("descriptors of one wgmma differ between threads", at(pc));
  }
  const Epoch agent = epoch(b.threads_in_block + kMbarriers + group, t.wgmma_group + 1);
  read_operand(b, desc_a, 64, a, agent, pc);
  read_operand(b, desc_b, n, w, agent, pc);
  for (unsigned j = 0; j < n; ++j)
    for (int k = 0; k < 16; ++k) w_transposed[k][j] = w[j][k];
  for (int m = 0; m < 64; ++m) {
    for (unsigned j = 0; j < n; ++j) sum[m][j] = 0;
    for (int k = 0; k < 16; ++k)
      for (unsigned j = 0; j < n; ++j) sum[m][j] += a[m][k] * w_transposed[k][j];
  }
  b.stats.tensor_multiply_adds += uint64_t{64} * 16 * n;

  // Accumulator i of thread l: row 16 (l / 32) + l % 32 / 4 + 8 (i / 2 % 2), column
  // 8 (i / 4) + 2 (l % 4) + i % 2.
  for (unsigned l = 0; l < kGroupThreads; ++l) {
    Thread& u = b.threads[first + l];
    float* to = static_cast<WgmmaArgument*>(u.argument)->d;
    PendingSum pending{to, sums_so_far(u, to, n / 2), u.wgmma_group};
    for (unsigned i = 0; i < n / 2; ++i) {
      const unsigned row = l / 32 * 16 + l % 32 / 4 + i / 2 % 2 * 8;
      pending.value[i] += sum[row][i / 4 * 8 + l % 4 * 2 + i % 2];
      to[i] = std::bit_cast<float>(~0u);
    }
    u.sums.push_back(std::move(pending));
    if (&u != &t) wake(b, u.tid);
  }
}

void wgmma_commit() { ++current->self->wgmma_group; }

void wgmma_wait(unsigned pending) {
  Block& b = *current;
  Thread& t = *b.self;
  if (t.wgmma_group <= pending) return;
  const unsigned groups = t.wgmma_group - pending;
  std::map<float*, const PendingSum*> last;
  for (const PendingSum& s : t.sums) last[s.to] = &s;
  size_t done = 0;
  while (done < t.sums.size() && t.sums[done].group < groups) {
    const PendingSum& s = t.sums[done++];
    if (last[s.to] == &s) memcpy(s.to, s.value.data(), s.value.size() * sizeof(float));
  }
  t.sums.erase(t.sums.begin(), t.sums.begin() + ptrdiff_t(done));
  if (b.checked) clock_of(b, t)[b.threads_in_block + kMbarriers + t.tid / kGroupThreads] = groups;
}

}  // namespace simt
