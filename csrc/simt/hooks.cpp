// SPDX-License-Identifier: BSD-3-Clause
// What -fsanitize=thread calls, in place of libtsan. All of them are hidden symbols, so a library
// with this emulator lives beside any other, and beside libtsan.
#include "memory.h"

namespace simt {
constinit bool instrumented = false;
}

#define SIMT_HOOK(name, bytes, access)                                               \
  extern "C" void __tsan_##name(void* p) {                                           \
    simt::check_access(p, bytes, simt::Access::access, __builtin_return_address(0)); \
  }
#define SIMT_HOOKS(bytes)                       \
  SIMT_HOOK(read##bytes, bytes, read)           \
  SIMT_HOOK(write##bytes, bytes, write)         \
  SIMT_HOOK(unaligned_read##bytes, bytes, read) \
  SIMT_HOOK(unaligned_write##bytes, bytes, write)
SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)
SIMT_HOOK(vptr_read, sizeof(void*), read)

extern "C" void __tsan_vptr_update(void** p, void*) {
  simt::check_access(p, sizeof(void*), simt::Access::write, __builtin_return_address(0));
}
extern "C" void __tsan_read_range(void* p, size_t bytes) {
  simt::check_access(p, bytes, simt::Access::read, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* p, size_t bytes) {
  simt::check_access(p, bytes, simt::Access::write, __builtin_return_address(0));
}
// A constructor in every instrumented file calls this when the program or library is loaded.
extern "C" void __tsan_init() { simt::instrumented = true; }
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
