// SPDX-License-Identifier: BSD-3-Clause
// cp.async. Until its thread waits for it the destination belongs to nobody: any access fails.
#include "async.h"

#include <cstring>

#include "instructions.h"
#include "memory.h"
#include "report.h"
#include "shadow.h"

namespace simt {
namespace {

void move(Block& b, const CopyAsync& c) {
  b.acting_for = c.pc;
  memcpy(c.to, c.from, c.from_bytes);
  b.acting_for = nullptr;
  memset(c.to + c.from_bytes, 0, c.bytes - c.from_bytes);
}

// All copies of groups before this one. The thread that waits sees them; others do after a barrier:
// so they count as its writes, made now.
void complete(Block& b, Thread& t, unsigned group) {
  size_t done = 0;
  while (done < t.copies.size() && t.copies[done].group < group) {
    const CopyAsync& c = t.copies[done++];
    if (!c.moved) move(b, c);
    land(b, c.to, c.bytes, epoch(t.tid, t.clock));
  }
  t.copies.erase(t.copies.begin(), t.copies.begin() + ptrdiff_t(done));
}

}  // namespace

void cp_async(void* to, const void* from, unsigned bytes, unsigned from_bytes) {
  Block& b = *current;
  Thread& t = *b.self;
  void* pc = __builtin_return_address(0);
  if (bytes != 4 && bytes != 8 && bytes != 16)
    fail("cp.async of " + std::to_string(bytes) + " bytes, not 4, 8 or 16", at(pc));
  if (from_bytes > bytes)
    fail("cp.async of " + std::to_string(bytes) + " bytes that reads " + std::to_string(from_bytes),
         at(pc));
  if (reinterpret_cast<uintptr_t>(to) % bytes || reinterpret_cast<uintptr_t>(from) % bytes)
    fail("misaligned cp.async of " + std::to_string(bytes) + " bytes", at(pc));
  const size_t offset = shared_offset(b, to, bytes, "cp.async", pc);
  if (b.checked) {
    check_access(from, from_bytes, Access::read, pc);
    shared_access(b, offset, bytes, true, pc, Kind::copy);
  }
  t.copies.push_back({static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from),
                      bytes, from_bytes, t.copy_group, pc, b.shuffled && b.random() % 2});
  if (t.copies.back().moved) move(b, t.copies.back());
}

void cp_async_commit() { ++current->self->copy_group; }

void cp_async_wait(unsigned pending) {
  Thread& t = *current->self;
  if (t.copy_group > pending) complete(*current, t, t.copy_group - pending);
}

void cp_async_wait_all() {
  cp_async_commit();
  cp_async_wait(0);
}

}  // namespace simt
