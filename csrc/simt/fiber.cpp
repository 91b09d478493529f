// SPDX-License-Identifier: BSD-3-Clause
#include "fiber.h"

#include <sys/mman.h>

#include <new>

namespace simt {

// The registers that a called function must keep, by the System V convention of x86-64; all others
// are dead at a call. ucontext also saves the signal mask, by a system call: 20 times as slow.
[[gnu::naked, gnu::noinline]] void switch_stack(void** /*save*/, void* /*load*/) {
  asm("pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n\t"
      "movq %rsp, (%rdi); movq %rsi, %rsp\n\t"
      "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret");
}

void* prepare_stack(char* stack, size_t bytes, unsigned skew, void (*entry)()) {
  // Stacks are a power of two apart, so their tops would all fall into the same few sets of the
  // first-level cache: 128 bytes more for each lane spread them.
  auto** top = reinterpret_cast<void**>(stack + bytes - 64 - skew % 32 * 128);
  *--top = nullptr;  // in place of a return address: the stack is aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  return top;
}

void Stacks::reserve(unsigned count, size_t bytes) {
  bytes = (bytes + 4095) / 4096 * 4096;
  if (bytes != bytes_) unmap();
  bytes_ = bytes;
  while (stacks_.size() < count) {
    void* p = mmap(nullptr, kStackGuard + bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    mprotect(p, kStackGuard, PROT_NONE);
    stacks_.push_back(static_cast<char*>(p) + kStackGuard);
  }
}

void Stacks::unmap() {
  for (char* s : stacks_) munmap(s - kStackGuard, kStackGuard + bytes_);
  stacks_.clear();
}

}  // namespace simt
