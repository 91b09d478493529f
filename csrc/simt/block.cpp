// SPDX-License-Identifier: BSD-3-Clause
// One block: its fibers, which of them runs next, and its barriers.
#include <algorithm>
#include <cstring>
#include <map>

#include "async.h"
#include "report.h"
#include "shadow.h"

namespace simt {

constinit thread_local Block* current = nullptr;

namespace {

void leave(Block& b);

void enter() {
  Block& b = *current;
  b.body(b.call);
  b.self->done = true;
  --b.live;
  leave(b);
}

// "n wait for what at file:line", for each place.
[[noreturn]] void fail_deadlock(Block& b) {
  std::map<std::string, unsigned> places;
  for (const Thread& t : b.threads)
    if (!t.done) ++places[std::string(t.waits_for) + " at " + at(t.where)];
  std::string text;
  if (b.live < b.threads_in_block)
    text = std::to_string(b.threads_in_block - b.live) + " threads have exited";
  for (const auto& [place, count] : places)
    text += (text.empty() ? "" : "; ") + std::to_string(count) + " wait for " + place;
  b.self = nullptr;
  fail(text, "deadlock");
}

// Of four random candidates the one whose warp ranks highest. Without the ranks all warps would
// advance at one pace, and what goes wrong only when one is far behind would never show.
void shuffle_next(Block& b) {
  size_t best = b.head;
  for (int i = 0; i < 4; ++i) {
    const size_t c = b.head + b.random() % (b.ready.size() - b.head);
    if (b.rank[b.ready[c] / kLanes] >= b.rank[b.ready[best] / kLanes]) best = c;
  }
  std::swap(b.ready[b.head], b.ready[best]);
  if (b.random() % 1024 == 0) b.rank[b.random() % b.rank.size()] = uint32_t(b.random());
}

// The running thread cannot go on: another one does. Copies under way land at the latest when no
// thread can go on without them.
void leave(Block& b) {
  while (b.head == b.ready.size() && b.live && land_bulk_copy(b)) {
  }
  void** save = &b.self->sp;
  if (!b.live) return switch_stack(save, b.scheduler);
  if (b.head == b.ready.size()) fail_deadlock(b);
  if (b.shuffled) shuffle_next(b);
  Thread* next = &b.threads[b.ready[b.head++]];
  if (b.head > 4096) {
    b.ready.erase(b.ready.begin(), b.ready.begin() + ptrdiff_t(b.head));
    b.head = 0;
  }
  if (next == b.self) return;
  b.self = next;
  switch_stack(save, next->sp);
}

void start_thread(Block& b, unsigned tid) {
  Thread& t = b.threads[tid];
  t.tid = tid;
  t.stack = b.stacks[tid];
  t.index = {tid % b.dim.x, tid / b.dim.x % b.dim.y, tid / b.dim.x / b.dim.y};
  t.clock = 1;
  t.interval = ~0u;
  t.done = false;
  t.copies.clear();
  t.sums.clear();
  t.copy_group = t.wgmma_group = t.fenced = 0;
  t.sp = prepare_stack(t.stack, b.stacks.bytes(), tid, enter);
}

}  // namespace

bool same_place(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || !strcmp(a.file_name(), b.file_name()));
}

void block_on(Block& b, const char* what, const Where& where) {
  b.self->waits_for = what;
  b.self->where = where;
  leave(b);
}

void run_block(Block& b, uint3 index, uint64_t seed) {
  const unsigned n = b.threads_in_block;
  b.index = index;
  b.live = n;
  b.interval = b.agent_clock = 0;
  b.random.seed(seed * 0x9e3779b97f4a7c15ull + index.x + 65537ull * index.y + 1000003ull * index.z);
  b.bulk_copies.clear();
  b.mbarriers.clear();
  for (Barrier& x : b.barriers) {
    x.arrived = 0;
    x.waiting.clear();
    x.seen.clear();
  }
  std::fill(std::begin(b.group_arrived), std::end(b.group_arrived), 0);
  b.meetings.resize((n + kLanes - 1) / kLanes);
  for (auto& m : b.meetings) m.clear();
  memset(b.smem, 0xff, b.smem_bytes);  // NaN in fp64, fp32, fp16 and bf16
  start_shadow(b);
  b.base.assign(n + kAgents, 0);
  b.clocks.resize(b.checked ? n : 0);
  b.ready.resize(n);
  for (unsigned t = 0; t < n; ++t) {
    b.ready[t] = t;
    start_thread(b, t);
  }
  b.rank.resize(b.meetings.size());
  for (uint32_t& r : b.rank) r = uint32_t(b.random());
  if (b.shuffled) std::swap(b.ready[0], b.ready[b.random() % n]);
  b.head = 1;
  b.self = &b.threads[b.ready[0]];
  switch_stack(&b.scheduler, b.self->sp);
  b.self = nullptr;
}

// Whoever comes last wakes the others.
void barrier(unsigned id, unsigned count, Where where) {
  Block& b = *current;
  Thread& t = *b.self;
  const bool whole = count == 0;
  if (id >= kNamedBarriers) fail("barrier " + std::to_string(id) + " of 16", at(where));
  if (!whole && (count % kLanes || count > kMaxThreads))
    fail("a barrier of " + std::to_string(count) + " threads, not of whole warps", at(where));
  if (whole) count = b.threads_in_block;
  Barrier& x = b.barriers[id];
  if (!x.arrived) {
    x.where = where;
    x.expected = count;
  }
  if (x.expected != count || (whole && !same_place(x.where, where)))
    fail("barrier divergence: other threads wait at " + at(x.where), at(where));
  if (!whole) release(b, t, x.seen);
  x.waiting.push_back(t.tid);
  if (++x.arrived < count) return block_on(b, "a barrier", where);
  if (whole) {
    order_whole_block(b);
  } else {
    for (unsigned w : x.waiting) acquire(b, b.threads[w], x.seen);
    x.seen.clear();
  }
  for (unsigned w : x.waiting)
    if (w != t.tid) wake(b, w);
  x.waiting.clear();
  x.arrived = 0;
}

uint3 thread_idx() { return current->self->index; }
uint3 block_idx() { return current->index; }
dim3 block_dim() { return current->dim; }
dim3 grid_dim() { return current->grid; }
unsigned char* dynamic_smem() { return current->smem; }
int lane_id() { return int(current->self->tid % kLanes); }

}  // namespace simt
