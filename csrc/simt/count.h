// SPDX-License-Identifier: BSD-3-Clause
// The one counter that kernel code itself bumps: it must cost no more than an instruction.
#pragma once
#include <cstdint>

namespace simt {

// Of this machine thread, since it began to work for a launch. initial-exec: reached without a call
// from a shared library too.
extern constinit thread_local uint64_t multiply_adds [[gnu::tls_model("initial-exec")]];

// In assembly, which -fsanitize=thread does not look into: no hook is called for the counter.
inline void count_multiply_add() { asm("incq %0" : "+m"(multiply_adds)); }

}  // namespace simt
