// SPDX-License-Identifier: BSD-3-Clause
// Atomics on integers, in shared and in global memory.
#include "memory.h"
#include "report.h"

namespace simt {
namespace {

template <class T>
void check(T* address, void* pc) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(T))
    fail("atomic at an address that is no multiple of " + std::to_string(sizeof(T)), at(pc));
  if (current && current->checked) check_access(address, sizeof(T), Access::atomic, pc);
}

// Blocks run on several workers, so these are atomic here too.
template <class T, class Change>
T change(T* address, Change next) {
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(address, &old, next(old), false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  return old;
}

}  // namespace
}  // namespace simt

#define SIMT_ATOMIC(T, Name, expression)                                      \
  T Name(T* address, T value) {                                               \
    simt::check(address, __builtin_return_address(0));                        \
    return simt::change(address, [value](T old) -> T { return expression; }); \
  }
#define SIMT_ATOMICS(T)                                                               \
  SIMT_ATOMIC(T, atomicAdd, old + value)                                              \
  SIMT_ATOMIC(T, atomicSub, old - value)                                              \
  SIMT_ATOMIC(T, atomicMin, value < old ? value : old)                                \
  SIMT_ATOMIC(T, atomicMax, old < value ? value : old)                                \
  SIMT_ATOMIC(T, atomicAnd, old& value)                                               \
  SIMT_ATOMIC(T, atomicOr, old | value)                                               \
  SIMT_ATOMIC(T, atomicXor, old ^ value)                                              \
  SIMT_ATOMIC(T, atomicExch, (static_cast<void>(old), value))                         \
  T atomicCAS(T* address, T expected, T desired) {                                    \
    simt::check(address, __builtin_return_address(0));                                \
    __atomic_compare_exchange_n(address, &expected, desired, false, __ATOMIC_RELAXED, \
                                __ATOMIC_RELAXED);                                    \
    return expected;                                                                  \
  }
SIMT_ATOMICS(int)
SIMT_ATOMICS(unsigned)
SIMT_ATOMICS(unsigned long long)
