// SPDX-License-Identifier: BSD-3-Clause
// Fibers: a stack each, and a switch between them in a few nanoseconds.
#pragma once
#include <cstddef>
#include <vector>

namespace simt {

// Saves the running fiber's stack pointer to *save and goes on where the other one was saved.
void switch_stack(void** save, void* load);

// A stack pointer from which switch_stack enters entry, which never returns. skew: see below.
void* prepare_stack(char* stack, size_t bytes, unsigned skew, void (*entry)());

// Below each stack lies memory that is not mapped, wide enough that one frame does not leap over
// it.
constexpr size_t kStackGuard = 64 * 1024;

// Stacks of one worker, kept from block to block.
class Stacks {
 public:
  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks() { unmap(); }

  // At least count stacks of at least bytes each.
  void reserve(unsigned count, size_t bytes);
  char* operator[](unsigned i) const { return stacks_[i]; }
  size_t bytes() const { return bytes_; }

 private:
  void unmap();
  std::vector<char*> stacks_;
  size_t bytes_ = 0;
};

}  // namespace simt
