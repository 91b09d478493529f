// SPDX-License-Identifier: BSD-3-Clause
#include "clock.h"

#include <algorithm>

#include "report.h"
#include "shadow.h"

namespace simt {

uint32_t next_time(uint32_t time) {
  if (time == kTimeMask)
    fail("more than a million synchronisations between two barriers of the block", "clocks");
  return time + 1;
}

Clock& clock_of(Block& b, Thread& t) {
  Clock& c = b.clocks[t.tid];
  if (t.interval != b.interval || c.empty()) {
    c = b.base;
    t.interval = b.interval;
  }
  c[t.tid] = t.clock;
  return c;
}

void join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

void release(Block& b, Thread& t, Clock& into) {
  if (!b.checked) return;
  join(into, clock_of(b, t));
  t.clock = next_time(t.clock);
}

void acquire(Block& b, Thread& t, const Clock& from) {
  if (b.checked) join(clock_of(b, t), from);
}

// All threads are here, so whatever any thread did is ordered before whatever comes. When time runs
// out it can therefore begin anew, with every access so far as one of long ago; unless there are
// asynchronous agents, whose accesses a barrier does not order.
void order_whole_block(Block& b) {
  if (!b.checked) return;
  uint32_t latest = 0;
  for (Thread& t : b.threads) {
    b.base[t.tid] = t.clock;
    t.clock = next_time(t.clock);
    latest = std::max(latest, t.clock);
  }
  ++b.interval;
  if (latest < kTimeMask - 1 || !b.mbarriers.empty() || b.agent_clock) return;
  forget_order(b);
  for (Thread& t : b.threads) {
    t.clock = 1;
    t.fenced = 0;
  }
  std::fill(b.base.begin(), b.base.end(), 0);
  for (Barrier& x : b.barriers) x.seen.clear();
}

}  // namespace simt
