// SPDX-License-Identifier: BSD-3-Clause
// Global memory: which tensors there are, and who of a launch's blocks wrote what.
#pragma once
#include <mutex>

#include "state.h"

namespace simt {

// Shared memory lies in the middle of a mapping of its own: what a launch may ask for, and a margin
// on either side that belongs to nothing else.
constexpr size_t kSharedMost = 256 * 1024, kSharedMargin = 64 * 1024;

// One launch at a time; and while it runs no tensor is named or forgotten.
std::mutex& launch_lock();

// The number that stands for "no block of this launch yet" in Range's arrays; its blocks are those
// after it. Whatever an earlier launch left is smaller, so that nothing has to be cleared.
uint32_t begin_owners(uint64_t blocks, bool count_sectors);
inline uint3 block_index(const dim3& grid, uint64_t number) {
  return {unsigned(number % grid.x), unsigned(number / grid.x % grid.y),
          unsigned(number / grid.x / grid.y)};
}

enum class Access { read, write, atomic };

// The check behind every load and store of instrumented code.
void check_access(const void* p, size_t bytes, Access access, void* pc);

}  // namespace simt
