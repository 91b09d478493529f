// SPDX-License-Identifier: BSD-3-Clause
// Happens-before, by vector clocks (Fidge, Mattern; as in FastTrack, Flanagan and Freund 2009).
//
// Each thread counts its own time. An access at time c of thread u is known to t, and so ordered
// before what t does next, if and only if c <= C_t[u], where C_t is t's vector clock. A release
// (arriving at a barrier) joins C_t into the barrier's clock and lets t's time go on; an acquire
// (leaving it) joins that clock into C_t; join is the maximum of each entry. Two accesses to one
// granule, one of them a write, of which neither is ordered before the other, are a race,
// whichever way this run happened to order them.
//
// A barrier of the whole block makes all vector clocks equal, so they are kept as one: base, and a
// number for the interval since. A thread has a vector of its own only in an interval in which it
// used anything finer (a named barrier, __syncwarp, an mbarrier); shuffles and mma order nothing.
#pragma once
#include "state.h"

namespace simt {

// An access: agent + 1 in 11 bits, whether it is atomic in one, the time in 20. 0: none.
constexpr unsigned kTimeBits = 20;
constexpr uint32_t kTimeMask = (1u << kTimeBits) - 1;
constexpr Epoch kAtomicEpoch = 1u << kTimeBits;
constexpr Epoch kPending = ~0u;  // written by an asynchronous copy that nobody has waited for
constexpr Epoch kLongAgo = 1u << (kTimeBits + 1);  // by thread 0 at time 0: before everything

constexpr Epoch epoch(unsigned agent, uint32_t time) {
  return (agent + 1) << (kTimeBits + 1) | time;
}
constexpr unsigned agent_of(Epoch e) { return (e >> (kTimeBits + 1)) - 1; }
constexpr uint32_t time_of(Epoch e) { return e & kTimeMask; }

inline bool is_before(const Block& b, Epoch e, const Thread& t) {
  const unsigned agent = agent_of(e);
  const uint32_t time = time_of(e);
  return time <= b.base[agent] || agent == t.tid ||
         (t.interval == b.interval && time <= b.clocks[t.tid][agent]);
}

Clock& clock_of(Block& b, Thread& t);
void join(Clock& into, const Clock& from);
void release(Block& b, Thread& t, Clock& into);
void acquire(Block& b, Thread& t, const Clock& from);
void order_whole_block(Block& b);
uint32_t next_time(uint32_t time);  // fails where the bits of an epoch end

}  // namespace simt
