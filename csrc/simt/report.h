// SPDX-License-Identifier: BSD-3-Clause
// What a mistake looks like to the user.
#pragma once
#include <string>

#include "state.h"

namespace simt {

std::string at(const Where& where);  // file:line
std::string at(void* pc);  // the same of a return address, and of what it was inlined into
std::string at(const uint3& index);  // (x,y,z)
std::string thread_name(const Block& b, unsigned agent);

// Ends the running block; the launch throws Error of this text. The block's fibers are abandoned.
[[noreturn]] void fail(const std::string& what, const std::string& where);

// While one lives, a fault inside a kernel becomes a report, and any other goes to the handler that
// the process had before.
class CatchFaults {
 public:
  CatchFaults();
  ~CatchFaults();
  CatchFaults(const CatchFaults&) = delete;
  CatchFaults& operator=(const CatchFaults&) = delete;
};

// The stack for signal handlers of one machine thread: a fiber's own may be what overflowed.
class AlternateStack {
 public:
  AlternateStack();
  ~AlternateStack();
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;
};

}  // namespace simt
