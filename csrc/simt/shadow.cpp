// SPDX-License-Identifier: BSD-3-Clause
#include "shadow.h"

#include "report.h"

namespace simt {
namespace {

// One cell becomes several, each with the same past.
void refine(Block& b, unsigned shift) {
  const unsigned parts = 1u << (b.granule_shift - shift);
  std::vector<Cell> finer;
  finer.reserve(b.cells.size() * parts);
  for (const Cell& c : b.cells) finer.insert(finer.end(), parts, c);
  b.cells = std::move(finer);
  b.granule_shift = shift;
}

void fit_granule(Block& b, size_t offset, size_t bytes) {
  while ((offset | bytes) & ((size_t{1} << b.granule_shift) - 1)) refine(b, b.granule_shift - 1);
}

const char* verb(bool write, Kind kind) {
  return kind == Kind::atomic ? "atomic" : write ? "write" : "read";
}

[[gnu::noinline]] std::string place(const Block& b, const Cell& c) {
  return " of shared memory byte " + std::to_string(size_t(&c - b.cells.data()) << b.granule_shift);
}

[[noreturn, gnu::noinline]] void fail_pending(Block& b, const Cell& c, bool write, void* pc) {
  fail(verb(write, Kind::plain) + place(b, c) +
           ": an asynchronous copy into it has not been waited for",
       at(pc));
}
[[noreturn, gnu::noinline]] void fail_uninitialised(Block& b, const Cell& c, void* pc) {
  fail("uninitialised read" + place(b, c), at(pc));
}
[[noreturn, gnu::noinline]] void fail_race(Block& b, const Cell& c, const char* what,
                                           const char* earlier, Epoch e, void* pc) {
  fail("race: " + (what + place(b, c)) + " after an unordered " + earlier + " by " +
           thread_name(b, agent_of(e)),
       at(pc));
}

void check_write_before(Block& b, Thread& t, const Cell& c, bool write, Kind kind, void* pc) {
  if (c.write == kPending) fail_pending(b, c, write, pc);
  if (!c.write) {
    if (write && kind != Kind::atomic) return;
    fail_uninitialised(b, c, pc);
  }
  if (is_before(b, c.write, t)) return;
  const bool was_atomic = c.write & kAtomicEpoch;
  if (was_atomic && kind == Kind::atomic) return;
  fail_race(b, c, verb(write, kind), was_atomic ? "atomic" : "write", c.write, pc);
}

[[gnu::always_inline]] inline void note_read(Block& b, Thread& t, Cell& c, Epoch me) {
  // A read that is ordered before this one need not be remembered: what is ordered after this one
  // is ordered after it too. Of more than four unordered ones some are forgotten.
  for (Epoch& r : c.reads) {
    if (r == me) return;
    if (!r || is_before(b, r, t)) {
      r = me;
      return;
    }
  }
  c.reads[t.tid & 3] = me;
}

void check_reads_before(Block& b, Thread& t, Cell& c, Kind kind, void* pc) {
  for (Epoch& r : c.reads) {
    if (r && !is_before(b, r, t)) fail_race(b, c, verb(true, kind), "read", r, pc);
    r = 0;
  }
}

void check_proxy(Block& b, const Cell& c, void* pc) {
  const unsigned writer = agent_of(c.write);
  if (writer >= b.threads_in_block || time_of(c.write) <= b.threads[writer].fenced) return;
  fail("read" + place(b, c) +
           " by the asynchronous proxy without fence.proxy.async after the write by " +
           thread_name(b, writer),
       at(pc));
}

}  // namespace

void start_shadow(Block& b) {
  const size_t granule = size_t{1} << b.granule_shift;
  b.cells.assign(b.checked ? (b.smem_bytes + granule - 1) / granule : 0, Cell{});
}

void forget_order(Block& b) {
  for (Cell& c : b.cells) {
    if (c.write && c.write != kPending) c.write = kLongAgo;
    for (Epoch& r : c.reads) r = 0;
  }
}

void shared_access(Block& b, size_t offset, size_t bytes, bool write, void* pc, Kind kind,
                   Epoch agent) {
  Thread& t = *b.self;
  const Epoch me = kind == Kind::agent ? agent : epoch(t.tid, t.clock);
  if ((offset | bytes) & ((size_t{1} << b.granule_shift) - 1)) fit_granule(b, offset, bytes);
  Cell* c = &b.cells[offset >> b.granule_shift];
  Cell* const end = c + (bytes >> b.granule_shift);
  for (; c < end; ++c) {
    if (!write && kind == Kind::plain) {  // most accesses, and most of those end here
      if (c->write - 1 < kPending - 1 && is_before(b, c->write, t)) {
        note_read(b, t, *c, me);
        continue;
      }
    }
    check_write_before(b, t, *c, write, kind, pc);
    if (!write) {
      if (kind == Kind::agent) check_proxy(b, *c, pc);
      note_read(b, t, *c, me);
      continue;
    }
    check_reads_before(b, t, *c, kind, pc);
    c->write = kind == Kind::copy ? kPending : kind == Kind::atomic ? me | kAtomicEpoch : me;
  }
}

void land(Block& b, const unsigned char* to, size_t bytes, Epoch e) {
  if (!b.checked) return;
  const size_t offset = size_t(to - b.smem);
  fit_granule(b, offset, bytes);
  for (size_t i = offset >> b.granule_shift; i < (offset + bytes) >> b.granule_shift; ++i)
    b.cells[i].write = e;
}

size_t shared_offset(Block& b, const void* p, size_t bytes, const char* what, void* pc) {
  const ptrdiff_t offset = static_cast<const unsigned char*>(p) - b.smem;
  if (offset < 0 || size_t(offset) + bytes > b.smem_bytes) {
    fail(std::string(what) + " of " + std::to_string(bytes) + " bytes at shared memory byte " +
             std::to_string(offset) + ", beyond its " + std::to_string(b.smem_bytes) + " bytes",
         at(pc));
  }
  return size_t(offset);
}

}  // namespace simt
