// SPDX-License-Identifier: BSD-3-Clause
// The state of a block that runs. A worker, one machine thread, runs a block to its end on fibers,
// one a CUDA thread; so nothing here needs a lock.
#pragma once
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fiber.h"
#include "simt.h"

namespace simt {

constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kLanes = 32;
constexpr unsigned kNamedBarriers = 16;
// Agents are what accesses memory beside the threads: an mbarrier's copies, a warpgroup's wgmma.
constexpr unsigned kMbarriers = 56, kWarpgroups = 8, kAgents = kMbarriers + kWarpgroups;

using Clock = std::vector<uint32_t>;  // one entry a thread, then one an agent
using Epoch = uint32_t;               // see clock.h

// What is known of a granule of shared memory: its last write and some of the reads after it.
struct Cell {
  Epoch write = 0;
  Epoch reads[4] = {};
};

// A cp.async that its thread has not waited for.
struct CopyAsync {
  unsigned char* to;
  const unsigned char* from;
  unsigned bytes, from_bytes, group;
  void* pc;
  bool moved;
};

// Accumulators that a wgmma in flight will write.
struct PendingSum {
  float* to;
  std::vector<float> value;
  unsigned group;
};

struct Thread {
  void* sp = nullptr;
  char* stack = nullptr;
  unsigned tid = 0;
  uint32_t clock = 1;
  uint32_t interval = 0;  // block barriers passed when its row of Block::clocks was last valid
  uint3 index{};
  bool done = false;
  const char* waits_for = nullptr;  // what it is blocked on, for the report of a deadlock
  Where where;
  void* argument = nullptr;  // of the warp operation it waits in
  std::vector<CopyAsync> copies;
  unsigned copy_group = 0;  // the open group of cp.async
  std::vector<PendingSum> sums;
  unsigned wgmma_group = 0;
  uint32_t fenced = 0;  // its writes up to this clock are visible to the asynchronous proxy
};

struct Barrier {
  unsigned arrived = 0, expected = 0;
  Where where;
  std::vector<unsigned> waiting;
  Clock seen;
};

// What lanes of a warp do together: run gets every lane's argument, null for those not in mask.
struct WarpOperation {
  const char* name;
  void (*run)(void* const* lanes, unsigned mask);
  bool orders_memory = false;
};
struct WarpMeeting {
  unsigned mask, arrived;
  const WarpOperation* operation;
  Where where;
};

struct Mbarrier {
  unsigned count = 0, arrived = 0, agent = 0, phase = 0;
  long expected_bytes = 0;
  Clock seen;
  std::vector<unsigned> waiting;
};

// A bulk copy that has not landed.
struct BulkCopy {
  unsigned char* to;
  std::vector<unsigned char> data;
  uint64_t* bar;
  Epoch stamp;
};

// A tensor in global memory. Its arrays are those of memory.cpp.
struct Range {
  const char* lo;
  size_t bytes;
  std::string name;
  bool writable;
  uint32_t* word_owner = nullptr;
  uint32_t* byte_owner = nullptr;
  std::vector<uint32_t> sector_loaded, sector_stored;
};

struct Block {
  // Of the block
  unsigned char* smem = nullptr;
  size_t smem_bytes = 0;
  Thread* self = nullptr;                 // null between blocks
  Range* recent[8] = {};                  // tensors touched last, by recent_slot() of the address
  uint32_t owner_id = 0, owner_base = 0;  // this block in Range's arrays; the launch's zero
  bool checked = false, shuffled = false, count_sectors = false;
  unsigned threads_in_block = 0, live = 0;
  uint3 index{};
  dim3 grid, dim;
  std::vector<Thread> threads;

  // Happens-before: clock.cpp, shadow.cpp
  uint32_t interval = 0;
  Clock base;
  std::vector<Clock> clocks;
  unsigned granule_shift = 2;
  std::vector<Cell> cells;

  // Scheduling: block.cpp
  std::vector<unsigned> ready;
  size_t head = 0;
  std::vector<uint32_t> rank;  // a random priority for each warp
  std::mt19937_64 random;
  void* scheduler = nullptr;
  Barrier barriers[kNamedBarriers];
  std::vector<std::vector<WarpMeeting>> meetings;  // by warp

  // Asynchronous units: async.cpp, mbarrier.cpp, wgmma.cpp
  std::map<uint64_t*, Mbarrier> mbarriers;
  std::vector<BulkCopy> bulk_copies;
  unsigned group_arrived[kWarpgroups] = {};
  uint32_t agent_clock = 0;

  // Of the launch and the worker
  void (*body)(const void*) = nullptr;
  const char* call = nullptr;
  size_t call_bytes = 0;
  Stats stats;
  std::string error;
  void* acting_for = nullptr;  // the emulator touches memory for the instruction here
  Stacks stacks;
  uintptr_t constants = 1;  // a page known to hold constants of the program
};

// Tensors of slot_alloc lie 8 GiB apart: those of eight neighbouring slots have places of their
// own.
inline Range*& recent_slot(Block& b, const char* p) {
  return b.recent[reinterpret_cast<uintptr_t>(p) >> 33 & 7];
}

// The block that this machine thread runs, or null.
extern constinit thread_local Block* current [[gnu::tls_model("initial-exec")]];

// Whether two threads came to a barrier or warp operation at one place of the source.
bool same_place(const Where& a, const Where& b);

// block.cpp
void run_block(Block& b, uint3 index, uint64_t seed);
void block_on(Block& b, const char* what, const Where& where);  // until someone wakes this thread
inline void wake(Block& b, unsigned tid) { b.ready.push_back(tid); }

// warp.cpp: the lanes of mask meet; the last to arrive runs the operation; then all go on.
void warp_operation(unsigned mask, void* argument, const WarpOperation& operation, Where where);

// hooks.cpp: whether any instrumented file is in this program
extern constinit bool instrumented;

// undefined.cpp: what host code of an instrumented file did wrong since the last launch
extern std::string host_mistake;

}  // namespace simt
