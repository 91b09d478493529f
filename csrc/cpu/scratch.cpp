// SPDX-License-Identifier: BSD-3-Clause
#include "scratch.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "huge_pages.h"

namespace cnnkern::cpu {
namespace {

char* allocate(int64_t bytes) {
  const int64_t size = std::max(bytes, Scratch::kAlignment);
  const size_t whole =
      size_t((size + Scratch::kAlignment - 1) / Scratch::kAlignment * Scratch::kAlignment);
  void* const p = std::aligned_alloc(Scratch::kAlignment, whole);
  if (!p) throw std::bad_alloc();
  ask_for_huge_pages(p, whole);
  return static_cast<char*>(p);
}

struct Kept {
  char* data = nullptr;
  int64_t bytes = 0;
  bool lent = false;
  ~Kept() { std::free(data); }
};
thread_local Kept kept[2];

}  // namespace

Scratch::Scratch(Slot slot, int64_t bytes) : slot_(slot) {
  Kept& mine = kept[slot];
  borrowed_ = bytes <= kKept && !mine.lent;
  if (!borrowed_) {
    begin_ = next_ = allocate(bytes);
    return;
  }
  if (mine.bytes < bytes) {
    std::free(mine.data);
    mine.data = nullptr;
    mine.bytes = 0;
    mine.data = allocate(bytes);
    mine.bytes = bytes;
  }
  mine.lent = true;
  begin_ = next_ = mine.data;
}

Scratch::~Scratch() {
  if (borrowed_)
    kept[slot_].lent = false;
  else
    std::free(begin_);
}

}  // namespace cnnkern::cpu
