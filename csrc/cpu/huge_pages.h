// SPDX-License-Identifier: BSD-3-Clause
// Huge pages for memory that is fresh at every call. From 32 MiB on glibc maps pages anew for each
// allocation, and the faults cost more than most convolutions; huge pages, where the system grants
// them on request, are 512 times fewer. Below that size pages are kept between calls, and asking
// would make it slower.
#pragma once
#if defined(__linux__)
#include <sys/mman.h>
#endif
#include <cstddef>
#include <cstdint>

namespace cnnkern::cpu {

#if defined(MADV_HUGEPAGE)
// From how many bytes on huge pages are asked for.
constexpr size_t kHugePagesFrom = size_t(32) << 20;

// Before the first write. Whole huge pages inside the memory alone: what shares a page with
// something else is left as it is.
inline void ask_for_huge_pages(void* memory, size_t bytes) {
  constexpr uintptr_t kHugePage = uintptr_t(2) << 20;
  if (bytes < kHugePagesFrom) return;
  const auto at = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t begin = (at + kHugePage - 1) / kHugePage * kHugePage,
                  end = (at + bytes) / kHugePage * kHugePage;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}
#else
constexpr size_t kHugePagesFrom = 0;  // never
inline void ask_for_huge_pages(void*, size_t) {}
#endif

}  // namespace cnnkern::cpu
