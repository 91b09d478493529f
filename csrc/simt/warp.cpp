// SPDX-License-Identifier: BSD-3-Clause
// What the lanes of a warp do together: __syncwarp, shuffles, votes.
#include <algorithm>
#include <bit>

#include "clock.h"
#include "report.h"

namespace simt {
namespace {

// The lanes of mask that exist: a block's last warp may have fewer than 32.
unsigned existing_lanes(const Block& b, unsigned warp, unsigned mask) {
  const unsigned lanes = b.threads_in_block - warp * kLanes;
  return lanes < kLanes ? mask & ((1u << lanes) - 1) : mask;
}

std::string text(unsigned mask) {
  char s[16];
  snprintf(s, sizeof s, "%#x", mask);
  return s;
}

void complete(Block& b, unsigned warp, const WarpMeeting& m) {
  Thread* lanes = &b.threads[warp * kLanes];
  if (m.operation->run) {
    void* arguments[kLanes];
    for (unsigned l = 0; l < kLanes; ++l)
      arguments[l] = m.mask >> l & 1 ? lanes[l].argument : nullptr;
    m.operation->run(arguments, m.mask);
  }
  if (!m.operation->orders_memory || !b.checked) return;
  Clock seen;
  for (unsigned l = 0; l < kLanes; ++l)
    if (m.mask >> l & 1) release(b, lanes[l], seen);
  for (unsigned l = 0; l < kLanes; ++l)
    if (m.mask >> l & 1) acquire(b, lanes[l], seen);
}

[[noreturn]] void fail_divergence(const WarpMeeting& m, unsigned mask,
                                  const WarpOperation& operation, const Where& where) {
  const unsigned lane = unsigned(std::countr_zero(m.arrived));
  fail(std::string("warp divergence: ") + operation.name + " with mask " + text(mask) +
           ", but lane " + std::to_string(lane) + " waits in " + m.operation->name + " with mask " +
           text(m.mask) + " at " + at(m.where),
       at(where));
}

}  // namespace

void warp_operation(unsigned mask, void* argument, const WarpOperation& operation, Where where) {
  Block& b = *current;
  Thread& t = *b.self;
  const unsigned warp = t.tid / kLanes, bit = 1u << (t.tid % kLanes);
  if (!(mask & bit))
    fail(std::string(operation.name) + " with mask " + text(mask) + ", which leaves out lane " +
             std::to_string(t.tid % kLanes) + " that calls it",
         at(where));
  mask = existing_lanes(b, warp, mask);
  auto& meetings = b.meetings[warp];
  auto m = std::find_if(meetings.begin(), meetings.end(),
                        [&](const WarpMeeting& x) { return (x.mask & mask) != 0; });
  if (m == meetings.end()) m = meetings.insert(m, {mask, 0, &operation, where});
  if (m->mask != mask || m->operation != &operation || !same_place(m->where, where))
    fail_divergence(*m, mask, operation, where);
  t.argument = argument;
  m->arrived |= bit;
  if (m->arrived != mask) return block_on(b, "its warp", where);
  const WarpMeeting whole = *m;
  meetings.erase(m);
  complete(b, warp, whole);
  for (unsigned l = 0; l < kLanes; ++l)
    if ((mask & ~bit) >> l & 1) wake(b, warp * kLanes + l);
}

namespace {

struct ShuffleArgument {
  uint64_t value, result;
  int source;
};
void run_shuffle(void* const* lanes, unsigned mask) {
  for (unsigned l = 0; l < kLanes; ++l) {
    if (!(mask >> l & 1)) continue;
    auto* me = static_cast<ShuffleArgument*>(lanes[l]);
    me->result = static_cast<ShuffleArgument*>(lanes[me->source])->value;
  }
}

struct VoteArgument {
  bool vote;
  unsigned result;
};
void run_vote(void* const* lanes, unsigned mask) {
  unsigned votes = 0;
  for (unsigned l = 0; l < kLanes; ++l)
    if (mask >> l & 1 && static_cast<VoteArgument*>(lanes[l])->vote) votes |= 1u << l;
  for (unsigned l = 0; l < kLanes; ++l)
    if (mask >> l & 1) static_cast<VoteArgument*>(lanes[l])->result = votes;
}

constexpr WarpOperation kSync{"__syncwarp", nullptr, true};
constexpr WarpOperation kShuffle{"a shuffle", run_shuffle};
constexpr WarpOperation kVote{"a vote", run_vote};

}  // namespace

void sync_warp(unsigned mask, Where where) { warp_operation(mask, nullptr, kSync, where); }

uint64_t shuffle(unsigned mask, uint64_t value, int source, int width, Where where) {
  const Block& b = *current;
  if (width < 1 || width > int(kLanes) || !std::has_single_bit(unsigned(width)))
    fail("a shuffle of width " + std::to_string(width) + ", no power of two up to 32", at(where));
  if (!(existing_lanes(b, b.self->tid / kLanes, mask) >> source & 1))
    fail("a shuffle with mask " + text(mask) + " reads lane " + std::to_string(source) +
             ", which takes no part in it",
         at(where));
  ShuffleArgument mine{value, 0, source};
  warp_operation(mask, &mine, kShuffle, where);
  return mine.result;
}

unsigned ballot(unsigned mask, bool vote, Where where) {
  VoteArgument mine{vote, 0};
  warp_operation(mask, &mine, kVote, where);
  return mine.result;
}

}  // namespace simt
