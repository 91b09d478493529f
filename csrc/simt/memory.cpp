// SPDX-License-Identifier: BSD-3-Clause
// Which memory an access is for, and, where that is a tensor, whether the kernel may touch it.
//
// Each 4-byte word of a writable tensor has an owner: the block that wrote it in this launch. With
// B the launch's base (begin_owners):
//   below B            nobody yet        B + 1 + block          that block, by a plain store
//   B                  by bytes: the word's parts were written apart, see byte_owner
//   kAtomic + B + 1 + block   only atomics of that block     kAtomic + B   atomics of several
//   blocks
// Blocks run in any order and without order between them, so whatever one of them does to a word of
// another's is a mistake, unless both do it by atomics. Two workers that touch one word in the same
// moment may overlook each other; a store is never lost by that, only a report.
#include "memory.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

#include "report.h"
#include "shadow.h"

namespace simt {
namespace {

constexpr uint32_t kAtomic = 0x80000000u;
constexpr size_t kSector = 32;

std::vector<Range*> ranges;  // by address; those of one program do not overlap
uint32_t next_owner = 1;

Range* range_from(const char* p) {  // the last one that begins at p or before
  auto it = std::upper_bound(ranges.begin(), ranges.end(), p,
                             [](const char* a, const Range* r) { return a < r->lo; });
  return it == ranges.begin() ? nullptr : it[-1];
}

const char* verb(Access a) {
  return a == Access::read ? "read" : a == Access::write ? "write" : "atomic";
}
std::string extent(Access a, size_t bytes) {
  return std::string(verb(a)) + " of " + std::to_string(bytes) + " bytes";
}

uint32_t peek(const uint32_t& owner) { return __atomic_load_n(&owner, __ATOMIC_RELAXED); }
void put(uint32_t& owner, uint32_t value) { __atomic_store_n(&owner, value, __ATOMIC_RELAXED); }

[[noreturn]] void fail_shared_word(Block& b, const Range& r, size_t byte, Access access,
                                   uint32_t owner, void* pc) {
  const bool by_atomic = owner & kAtomic;
  const uint32_t id = owner & ~kAtomic;
  std::string who = "atomics of other blocks";
  if (id > b.owner_base)
    who =
        "block " + at(block_index(b.grid, id - b.owner_base - 1)) + (by_atomic ? "'s atomics" : "");
  fail(std::string(verb(access)) + " of " + r.name + " byte " + std::to_string(byte) + ", which " +
           who + " wrote in this launch",
       at(pc));
}

// The word's parts have owners apart from now on. Its owner, if any, is this block.
void split_word(Block& b, Range& r, size_t word) {
  uint32_t seen = peek(r.word_owner[word]);
  if (seen == b.owner_base) return;
  const uint32_t parts = seen == b.owner_id ? seen : 0;
  for (size_t i = word * 4; parts && i < std::min(r.bytes, word * 4 + 4); ++i)
    put(r.byte_owner[i], parts);
  put(r.word_owner[word], b.owner_base);
}

void check_parts(Block& b, Range& r, size_t first, size_t end, Access access, void* pc) {
  for (size_t i = first; i < end; ++i) {
    const uint32_t o = peek(r.byte_owner[i]);
    if (o > b.owner_base && o != b.owner_id) fail_shared_word(b, r, i, access, o, pc);
    if (access != Access::read) put(r.byte_owner[i], b.owner_id);
  }
}

// One word, or bytes first .. end of it, whose owner is not plainly this block or nobody.
[[gnu::noinline]] void check_word(Block& b, Range& r, size_t first, size_t end, Access access,
                                  void* pc) {
  const size_t word = first / 4;
  const uint32_t o = peek(r.word_owner[word]);
  const uint32_t id = o & ~kAtomic;
  const bool nobody = id < b.owner_base;
  if (access == Access::atomic) {
    if (nobody) return put(r.word_owner[word], kAtomic | b.owner_id);
    if (o & kAtomic) {
      if (id != b.owner_id) put(r.word_owner[word], kAtomic | b.owner_base);
      return;
    }
  } else if (nobody || o == b.owner_base) {  // nobody: also where an earlier launch had atomics
    if (nobody && access == Access::read) return;
    split_word(b, r, word);
    return check_parts(b, r, first, end, access, pc);
  }
  if (o == b.owner_base) return check_parts(b, r, first, end, access, pc);
  if (id != b.owner_id) fail_shared_word(b, r, first, access, o, pc);
}

inline void check_owners(Block& b, Range& r, size_t offset, size_t bytes, Access access, void* pc) {
  if (((offset | bytes) & 3) == 0 && access != Access::atomic) {
    for (size_t word = offset / 4; word < (offset + bytes) / 4; ++word) {
      const uint32_t o = peek(r.word_owner[word]);
      if (o == b.owner_id) continue;
      if (o < b.owner_base) {
        if (access == Access::write) put(r.word_owner[word], b.owner_id);
        continue;
      }
      check_word(b, r, word * 4, std::min(word * 4 + 4, r.bytes), access, pc);
    }
    return;
  }
  for (size_t at = offset; at < offset + bytes;) {
    const size_t end = std::min(offset + bytes, at / 4 * 4 + 4);
    if (peek(r.word_owner[at / 4]) != b.owner_id) check_word(b, r, at, end, access, pc);
    at = end;
  }
}

void count_sectors(Block& b, Range& r, size_t offset, size_t bytes, Access access) {
  const bool load = access == Access::read;
  std::vector<uint32_t>& seen = load ? r.sector_loaded : r.sector_stored;
  // Sectors are those of memory, not of the tensor, which may begin within one.
  const size_t skew = reinterpret_cast<uintptr_t>(r.lo) % kSector;
  for (size_t s = (skew + offset) / kSector; s <= (skew + offset + bytes - 1) / kSector; ++s) {
    if (seen[s] == b.owner_id) continue;
    seen[s] = b.owner_id;
    ++(load ? b.stats.sectors_loaded : b.stats.sectors_stored);
  }
}

inline void global_access(Block& b, Range& r, size_t offset, size_t bytes, Access access,
                          void* pc) {
  Stats& s = b.stats;
  if (access == Access::read) {
    s.bytes_loaded += bytes;
    s.widest_load = std::max<uint64_t>(s.widest_load, bytes);
  } else {
    if (!r.writable) fail(std::string(verb(access)) + " to the read-only " + r.name, at(pc));
    s.bytes_stored += bytes;
    s.widest_store = std::max<uint64_t>(s.widest_store, bytes);
  }
  if (r.writable) check_owners(b, r, offset, bytes, access, pc);
  if (b.count_sectors) count_sectors(b, r, offset, bytes, access);
}

[[noreturn]] void fail_outside(const Range& r, const char* p, size_t bytes, Access access,
                               void* pc) {
  fail(extent(access, bytes) + " at byte " + std::to_string(p - r.lo) + " of " + r.name +
           ", which has " + std::to_string(r.bytes),
       at(pc));
}

// Everything that is neither shared memory nor a tensor touched lately.
[[gnu::noinline]] void other_access(Block& b, const char* p, size_t bytes, Access access,
                                    void* pc) {
  Thread& t = *b.self;
  if (p >= t.stack && p < t.stack + b.stacks.bytes()) return;
  if (p >= t.stack - kStackGuard && p < t.stack)
    fail("the thread's stack of " + std::to_string(b.stacks.bytes()) + " bytes is full", at(pc));
  const ptrdiff_t in_shared = p - reinterpret_cast<char*>(b.smem);
  if (in_shared >= -ptrdiff_t(kSharedMargin) && in_shared < ptrdiff_t(kSharedMost + kSharedMargin))
    shared_offset(b, p, bytes, verb(access), pc);
  if (p >= b.call && p < b.call + b.call_bytes) return;
  Range* r = range_from(p);
  if (r && p + bytes <= r->lo + r->bytes) {
    recent_slot(b, p) = r;
    return global_access(b, *r, size_t(p - r->lo), bytes, access, pc);
  }
  if (access == Access::read) {  // constants of the program itself
    const uintptr_t page = reinterpret_cast<uintptr_t>(p) / 4096 * 4096;
    if (page == b.constants) return;
    Dl_info info;
    if (dladdr(p, &info)) {
      b.constants = page;
      return;
    }
  }
  constexpr ptrdiff_t kNear = 4096;  // then it is this tensor that was meant
  if (r && p < r->lo + r->bytes + kNear) fail_outside(*r, p, bytes, access, pc);
  Range* next = range_from(p + kNear);
  if (next && p < next->lo) fail_outside(*next, p, bytes, access, pc);
  fail(extent(access, bytes) + " in memory of no tensor", at(pc));
}

}  // namespace

void check_access(const void* memory, size_t bytes, Access access, void* pc) {
  Block* b = current;
  if (!b || !b->self || !bytes) return;  // host code of an instrumented file
  const char* p = static_cast<const char*>(memory);
  const size_t in_shared = size_t(p - reinterpret_cast<char*>(b->smem));
  if (in_shared < b->smem_bytes && bytes <= b->smem_bytes - in_shared) {
    return shared_access(*b, in_shared, bytes, access != Access::read, pc,
                         access == Access::atomic ? Kind::atomic : Kind::plain);
  }
  if (Range* r = recent_slot(*b, p)) {
    const size_t offset = size_t(p - r->lo);
    if (offset < r->bytes && bytes <= r->bytes - offset)
      return global_access(*b, *r, offset, bytes, access, pc);
  }
  other_access(*b, p, bytes, access, pc);
}

std::mutex& launch_lock() {
  static std::mutex lock;
  return lock;
}

uint32_t begin_owners(uint64_t blocks, bool count_sectors) {
  if (blocks > 1u << 30) throw Error("invalid launch: over 2^30 blocks, too many to emulate");
  if (next_owner + blocks + 1 >= kAtomic) {
    next_owner = 1;
    for (Range* r : ranges) {
      if (r->writable) std::fill_n(r->word_owner, r->bytes / 4 + 1, 0);
      if (r->writable) std::fill_n(r->byte_owner, r->bytes + 1, 0);
      r->sector_loaded.clear();
      r->sector_stored.clear();
    }
  }
  for (Range* r : ranges) {
    if (!count_sectors) continue;
    r->sector_loaded.resize(r->bytes / kSector + 2);
    r->sector_stored.resize(r->bytes / kSector + 2);
  }
  const uint32_t base = next_owner;
  next_owner += uint32_t(blocks) + 1;
  return base;
}

Global::Global(const void* memory, size_t bytes, const char* name, bool writable)
    : memory_(bytes ? memory : nullptr) {
  if (!memory_) return;
  std::lock_guard lock(launch_lock());
  const char* lo = static_cast<const char*>(memory);
  const Range* other = range_from(lo + bytes - 1);
  if (other && lo < other->lo + other->bytes)
    throw Error(std::string(name) + " shares memory with " + other->name);
  auto* r = new Range{lo, bytes, name, writable, nullptr, nullptr, {}, {}};
  if (writable && instrumented) {  // calloc: pages that are never touched are never made
    r->word_owner = static_cast<uint32_t*>(calloc(bytes / 4 + 1, sizeof(uint32_t)));
    r->byte_owner = static_cast<uint32_t*>(calloc(bytes + 1, sizeof(uint32_t)));
  }
  ranges.insert(std::upper_bound(ranges.begin(), ranges.end(), r,
                                 [](const Range* a, const Range* c) { return a->lo < c->lo; }),
                r);
}

Global::~Global() {
  if (!memory_) return;
  std::lock_guard lock(launch_lock());
  const auto it =
      std::find_if(ranges.begin(), ranges.end(), [&](const Range* r) { return r->lo == memory_; });
  free((*it)->word_owner);
  free((*it)->byte_owner);
  delete *it;
  ranges.erase(it);
}

}  // namespace simt
