// SPDX-License-Identifier: BSD-3-Clause
// The checks of shared memory: a cell for each granule of 4 bytes; of 2 or 1 from the first access
// on that is narrower.
#pragma once
#include "clock.h"

namespace simt {

// How an access is made, beside by the thread that runs: Kind::copy leaves the bytes pending, and
// Kind::agent does it in the name of an asynchronous agent.
enum class Kind { plain, atomic, copy, agent };

void start_shadow(Block& b);  // all uninitialised
void forget_order(Block& b);  // every access so far was long ago
// The running thread's access, as told, to bytes offset .. offset + bytes, which lie inside.
void shared_access(Block& b, size_t offset, size_t bytes, bool write, void* pc,
                   Kind kind = Kind::plain, Epoch agent = 0);
// Bytes that a copy has written count as written now, by whom e says.
void land(Block& b, const unsigned char* to, size_t bytes, Epoch e);

// Where p lies in shared memory; fails unless all of the bytes do.
size_t shared_offset(Block& b, const void* p, size_t bytes, const char* what, void* pc);

}  // namespace simt
