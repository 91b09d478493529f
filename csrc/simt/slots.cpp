// SPDX-License-Identifier: BSD-3-Clause
// Memory for tensors in which a stray index hits nothing. A slot is 8 GiB of addresses; the tensor
// ends in their middle, where what is mapped ends. Slots are kept for the next tensor.
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "simt.h"

namespace simt {
namespace {

constexpr size_t kHalf = size_t{4} << 30, kPage = 4096, kKeptSlots = 32;
constexpr size_t kKeptBytes = size_t{1} << 20;  // more than this of a slot goes back to the system

struct Slot {
  char* end;
  size_t mapped;
};
std::mutex lock;
std::vector<Slot> spare;
std::map<void*, Slot> taken;

Slot new_slot() {
  void* p = mmap(nullptr, 2 * kHalf, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return {static_cast<char*>(p) + kHalf, 0};
}

void map(Slot& slot, size_t bytes) {
  if (bytes > slot.mapped) mprotect(slot.end - bytes, bytes - slot.mapped, PROT_READ | PROT_WRITE);
  if (bytes < slot.mapped) mprotect(slot.end - slot.mapped, slot.mapped - bytes, PROT_NONE);
  slot.mapped = bytes;
}

// The checked build sees the tensor's end by itself, so there tensors are aligned as cudaMalloc's;
// else as little as vector accesses allow, for the end to lie close to what is not mapped.
size_t occupied(size_t bytes) {
  const size_t alignment = is_checked() ? 256 : 16;
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

void* slot_alloc(size_t bytes, int fill) {
  if (bytes > kHalf - kPage) throw std::bad_alloc();
  std::lock_guard guard(lock);
  Slot slot{};
  if (spare.empty()) {
    slot = new_slot();
  } else {
    slot = spare.back();
    spare.pop_back();
  }
  const size_t used = occupied(bytes);
  map(slot, (used + kPage - 1) / kPage * kPage);
  memset(slot.end - used, fill, used);
  void* memory = slot.end - used;
  // Without bytes there is nothing to point to but the slot's own end, which no other tensor has.
  taken[memory] = slot;
  return memory;
}

void slot_free(void* memory, size_t) {
  if (!memory) return;
  std::lock_guard guard(lock);
  const auto it = taken.find(memory);
  if (it == taken.end()) throw Error("slot_free of memory that slot_alloc did not give");
  Slot slot = it->second;
  taken.erase(it);
  if (spare.size() == kKeptSlots) {
    munmap(slot.end - kHalf, 2 * kHalf);
    return;
  }
  if (slot.mapped > kKeptBytes) {
    madvise(slot.end - slot.mapped, slot.mapped, MADV_DONTNEED);
    map(slot, 0);
  }
  spare.push_back(slot);
}

}  // namespace simt
