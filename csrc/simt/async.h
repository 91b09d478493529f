// SPDX-License-Identifier: BSD-3-Clause
// Copies that land later than they are asked for: at the wait that they must precede, which shows
// who forgot it, or, as the seed has it, at once.
#pragma once
#include "state.h"

namespace simt {

// Lets one bulk copy land, if any is under way.
bool land_bulk_copy(Block& b);

// Asks for a copy of rows of row_bytes each, null for a row of zeros, into shared memory.
void bulk_copy(void* to, const std::vector<const void*>& rows, unsigned row_bytes, uint64_t* bar,
               void* pc);

// The 128-byte swizzle: the 16-byte chunk within a row of 128 bytes is exclusive-or'ed with the
// row's number modulo 8, so that eight rows' equal chunks lie in eight different sets of banks.
constexpr size_t swizzle128(size_t byte) { return byte ^ (byte >> 3 & 0x70); }

}  // namespace simt
