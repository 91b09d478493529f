// SPDX-License-Identifier: BSD-3-Clause
// A launch: checks its sizes, hands its blocks to workers, and sums what they counted.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "count.h"
#include "memory.h"
#include "report.h"

namespace simt {

constinit thread_local uint64_t multiply_adds = 0;

Options& options() {
  static Options o;
  return o;
}
Stats& stats() {
  static Stats s;
  return s;
}
bool is_checked() { return instrumented; }

namespace {

std::string text(const dim3& d) {
  return std::to_string(d.x) + " x " + std::to_string(d.y) + " x " + std::to_string(d.z);
}

// The limits of every device of compute capability 8.0 and up.
void check_sizes(const dim3& grid, const dim3& block, size_t smem_bytes, const Options& o) {
  const auto refuse = [](const std::string& what) { throw Error("invalid launch: " + what); };
  if (uint64_t{grid.x} * grid.y * grid.z == 0) refuse("a grid of " + text(grid) + " blocks");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    refuse("a grid of " + text(grid) + " blocks, at most 2147483647 x 65535 x 65535");
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (!threads || threads > kMaxThreads || block.x > 1024 || block.y > 1024 || block.z > 64)
    refuse("a block of " + text(block) + " threads, at most 1024 in all, 64 in z");
  if (smem_bytes > o.smem)
    refuse(std::to_string(smem_bytes) + " bytes of shared memory, at most " +
           std::to_string(o.smem));
}

// Shared memory begins at a multiple of 1024, with room around it in which a bad index is still
// seen to be meant for it.
unsigned char* map_shared() {
  void* p = mmap(nullptr, kSharedMost + 2 * kSharedMargin, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(p) + kSharedMargin;
}

void add(Stats& into, const Stats& s) {
  into.threads += s.threads;
  into.multiply_adds += s.multiply_adds;
  into.tensor_multiply_adds += s.tensor_multiply_adds;
  into.bytes_loaded += s.bytes_loaded;
  into.bytes_stored += s.bytes_stored;
  into.widest_load = std::max(into.widest_load, s.widest_load);
  into.widest_store = std::max(into.widest_store, s.widest_store);
  into.sectors_loaded += s.sectors_loaded;
  into.sectors_stored += s.sectors_stored;
  into.ldmatrix += s.ldmatrix;
  into.ldmatrix_conflicts += s.ldmatrix_conflicts;
}

// Starting a machine thread costs about what a small block does.
constexpr uint64_t kThreadsWorthAWorker = 2048;

}  // namespace

void run_grid(dim3 grid, dim3 dim, size_t smem_bytes, void (*body)(const void*), const void* call,
              size_t call_bytes) {
  if (current) throw Error("invalid launch: from inside a kernel");
  if (!host_mistake.empty()) throw Error(std::exchange(host_mistake, {}));
  const Options o = options();
  check_sizes(grid, dim, smem_bytes, o);
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const unsigned threads = dim.x * dim.y * dim.z;

  static std::vector<std::unique_ptr<Block>> blocks_of_workers;  // with their stacks
  std::lock_guard one_launch(launch_lock());
  const uint32_t owner_base = begin_owners(blocks, o.count_sectors);
  uint64_t workers = o.count_sectors ? 1 : uint64_t(std::max(1, o.workers));
  workers = std::min({workers, blocks, 1 + blocks * threads / kThreadsWorthAWorker});
  while (blocks_of_workers.size() < workers) blocks_of_workers.push_back(std::make_unique<Block>());

  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex result_lock;
  std::string error;
  auto work = [&](uint64_t worker) {
    Block& b = *blocks_of_workers[worker];
    if (!b.smem) b.smem = map_shared();
    b.stacks.reserve(threads, o.stack);
    b.threads.resize(threads);
    b.threads_in_block = threads;
    b.grid = grid;
    b.dim = dim;
    b.smem_bytes = smem_bytes;
    b.body = body;
    b.call = static_cast<const char*>(call);
    b.call_bytes = call_bytes;
    b.checked = instrumented;
    b.shuffled = o.seed != 0;
    b.count_sectors = o.count_sectors && instrumented;
    b.granule_shift = 2;
    std::fill(std::begin(b.recent), std::end(b.recent), nullptr);
    b.stats = Stats();
    b.error.clear();
    multiply_adds = 0;
    AlternateStack alternate_stack;
    current = &b;
    for (uint64_t i; !failed && (i = next++) < blocks;) {
      const uint64_t j = o.seed ? blocks - 1 - i : i;
      b.owner_base = owner_base;
      b.owner_id = owner_base + 1 + uint32_t(j);
      run_block(b, block_index(grid, j), o.seed);
      b.stats.threads += threads;
      if (!b.error.empty()) failed = true;
    }
    current = nullptr;
    b.stats.multiply_adds = multiply_adds;
    std::lock_guard lock(result_lock);
    add(stats(), b.stats);
    if (error.empty()) error = b.error;
  };

  ++stats().launches;
  {
    CatchFaults catch_faults;
    std::vector<std::thread> pool;
    for (uint64_t w = 1; w < workers; ++w) pool.emplace_back(work, w);
    work(0);
    for (std::thread& t : pool) t.join();
  }
  if (!error.empty()) throw Error(error + " (seed " + std::to_string(o.seed) + ")");
}

}  // namespace simt
