// SPDX-License-Identifier: BSD-3-Clause
// mbarriers, and the bulk copies whose bytes they count. A phase ends when all arrivals and all
// expected bytes are there. Arriving releases and a wait that ends acquires; a copy that lands
// releases as an agent of its own, of which the mbarrier's clock has an entry.
#include <algorithm>
#include <cstring>

#include "async.h"
#include "instructions.h"
#include "memory.h"
#include "report.h"
#include "shadow.h"

namespace simt {
namespace {

// The object's own 8 bytes are read by every operation: so one that is not ordered after the
// mbarrier.init is a race, and one without any an uninitialised read.
Mbarrier& find(Block& b, uint64_t* bar, void* pc) {
  const size_t offset = shared_offset(b, bar, sizeof *bar, "mbarrier", pc);
  if (b.checked) shared_access(b, offset, sizeof *bar, false, pc);
  const auto it = b.mbarriers.find(bar);
  if (it == b.mbarriers.end())
    fail("mbarrier at shared memory byte " + std::to_string(offset) + ", which is not initialised",
         at(pc));
  return it->second;
}

void end_phase(Block& b, Mbarrier& m) {
  if (m.arrived < m.count || m.expected_bytes) return;
  m.arrived = 0;
  ++m.phase;
  for (unsigned w : m.waiting) wake(b, w);
  m.waiting.clear();
}

void arrive(Block& b, Mbarrier& m) {
  release(b, *b.self, m.seen);
  ++m.arrived;
  end_phase(b, m);
}

}  // namespace

void mbarrier_init(uint64_t* bar, unsigned count) {
  Block& b = *current;
  void* pc = __builtin_return_address(0);
  if (reinterpret_cast<uintptr_t>(bar) % sizeof *bar) fail("misaligned mbarrier", at(pc));
  const size_t offset = shared_offset(b, bar, sizeof *bar, "mbarrier", pc);
  if (b.checked) shared_access(b, offset, sizeof *bar, true, pc);
  if (!b.mbarriers.contains(bar) && b.mbarriers.size() == kMbarriers)
    fail("more than " + std::to_string(kMbarriers) + " mbarriers in a block", at(pc));
  const unsigned agent = unsigned(b.mbarriers.size());
  const auto [it, is_new] = b.mbarriers.try_emplace(bar);
  Mbarrier& m = it->second;
  if (is_new) m.agent = agent;
  m.count = count;
  m.arrived = 0;
  m.phase = 0;
  m.expected_bytes = 0;
}

void mbarrier_expect_tx(uint64_t* bar, unsigned bytes) {
  Block& b = *current;
  Mbarrier& m = find(b, bar, __builtin_return_address(0));
  m.expected_bytes += bytes;
  arrive(b, m);
}

void mbarrier_arrive(uint64_t* bar) {
  Block& b = *current;
  arrive(b, find(b, bar, __builtin_return_address(0)));
}

void mbarrier_wait(uint64_t* bar, unsigned parity, Where where) {
  Block& b = *current;
  Mbarrier& m = find(b, bar, __builtin_return_address(0));
  while ((m.phase & 1) == (parity & 1)) {
    m.waiting.push_back(b.self->tid);
    block_on(b, "an mbarrier", where);
  }
  acquire(b, *b.self, m.seen);
}

void fence_proxy_async() {
  Thread& t = *current->self;
  t.fenced = t.clock;
  if (current->checked) t.clock = next_time(t.clock);
}

void bulk_copy(void* to, const std::vector<const void*>& rows, unsigned row_bytes, uint64_t* bar,
               void* pc) {
  Block& b = *current;
  Mbarrier& m = find(b, bar, pc);
  const size_t bytes = rows.size() * row_bytes;
  if (reinterpret_cast<uintptr_t>(to) % 1024)
    fail("a bulk copy with the 128-byte swizzle to an address that is no multiple of 1024", at(pc));
  const size_t offset = shared_offset(b, to, bytes, "bulk copy", pc);
  b.agent_clock = next_time(b.agent_clock);
  const Epoch stamp = epoch(b.threads_in_block + m.agent, b.agent_clock);
  if (b.checked) {
    for (const void* row : rows)
      if (row) check_access(row, row_bytes, Access::read, pc);
    shared_access(b, offset, bytes, true, pc, Kind::copy);
  }
  std::vector<unsigned char> data(bytes, 0);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (!rows[r]) continue;
    for (unsigned c = 0; c < row_bytes; c += 16)
      memcpy(&data[swizzle128(r * row_bytes + c)], static_cast<const char*>(rows[r]) + c, 16);
  }
  b.bulk_copies.push_back({static_cast<unsigned char*>(to), std::move(data), bar, stamp});
  if (b.shuffled && b.random() % 2) land_bulk_copy(b);
}

bool land_bulk_copy(Block& b) {
  if (b.bulk_copies.empty()) return false;
  const size_t i = b.shuffled ? b.random() % b.bulk_copies.size() : 0;
  BulkCopy copy = std::move(b.bulk_copies[i]);
  b.bulk_copies.erase(b.bulk_copies.begin() + ptrdiff_t(i));
  memcpy(copy.to, copy.data.data(), copy.data.size());
  Mbarrier& m = b.mbarriers.at(copy.bar);
  land(b, copy.to, copy.data.size(), copy.stamp);
  if (b.checked) {
    if (m.seen.size() < b.base.size()) m.seen.resize(b.base.size());
    uint32_t& seen = m.seen[b.threads_in_block + m.agent];
    seen = std::max(seen, time_of(copy.stamp));  // copies of one phase land in any order
  }
  m.expected_bytes -= long(copy.data.size());
  end_phase(b, m);
  return true;
}

}  // namespace simt
