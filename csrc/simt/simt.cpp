// SPDX-License-Identifier: BSD-3-Clause
#include "simt.h"
#include "count.h"
#include "instructions.h"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace simt {
namespace {

using Clock = std::vector<uint32_t>;  // one entry per thread, then one per asynchronous agent
constexpr unsigned kMbarriers = 56, kAgents = kMbarriers + 8;  // asynchronous: per mbarrier and warpgroup
constexpr unsigned kGranule = 2;      // bytes of shared memory per shadow cell
constexpr uint32_t kPending = ~0u;    // written by an asynchronous copy nobody has waited for
constexpr size_t kArena = 256 * 1024, kRedZone = 64 * 1024;

using WarpOp = void (*)(void* const* lane_args, unsigned mask);
struct Cell { uint32_t write = 0; uint32_t reads[4] = {}; };  // epochs: who << 20 | clock
uint32_t epoch(unsigned who, uint32_t clock) { return (who + 1) << 20 | clock; }

struct CopyAsync { unsigned char* dst; const unsigned char* src; unsigned bytes, src_bytes, group; bool moved; };
struct Wgmma { float* d; std::vector<float> value; unsigned group; };
struct Thread {
  void* sp = nullptr;
  char* stack = nullptr;
  unsigned tid = 0, group = 0;      // group: number of the open cp.async group
  uint32_t clock = 1, interval = 0; // interval: block barriers passed when row of vc was last valid
  uint3 idx{};
  bool done = false;
  const char* waits = nullptr;      // what it is blocked on, for the deadlock report
  Where where;
  void* arg = nullptr;
  std::deque<CopyAsync> copies;
  std::deque<Wgmma> wgmmas;         // results the thread may not see yet
  unsigned wgmma_group = 0;
  uint32_t fenced = 0;              // its writes up to this clock are visible to the asynchronous proxy
};
struct Barrier { unsigned arrived = 0, expected = 0; Where where; std::vector<unsigned> waiting; Clock seen; };
struct WarpMeet { unsigned mask, arrived; WarpOp op; Where where; };
struct Mbarrier {
  unsigned count = 0, arrived = 0, agent = 0; long tx = 0; unsigned phase = 0;
  Clock seen; std::vector<unsigned> waiting;
};
struct Bulk { unsigned char* dst; std::vector<unsigned char> data; uint64_t* bar; uint32_t stamp; };

struct Block {
  std::vector<Thread> threads;
  std::vector<char*> stacks;  // mapped once a worker, reused by every block
  std::vector<unsigned> ready;
  std::vector<std::vector<WarpMeet>> warps;
  unsigned group_arrived[8] = {};
  Barrier bars[16];
  std::map<uint64_t*, Mbarrier> mbars;
  std::vector<Bulk> bulk;
  std::vector<Cell> shadow;
  std::vector<Clock> vc;
  std::vector<uint32_t> base;
  unsigned char* arena = nullptr;
  unsigned char* smem = nullptr;
  size_t smem_bytes = 0, call_bytes = 0;
  void (*body)(const void*) = nullptr;
  const void* call = nullptr;
  void* scheduler = nullptr;
  Thread* self = nullptr;
  unsigned n = 0, live = 0, head = 0;
  uint32_t interval = 0, agent_clock = 0;
  uint3 idx{};
  dim3 grid, dim;
  size_t stack_bytes = 0;
  std::mt19937_64 rng;
  bool shuffle = false;
  std::vector<unsigned> rank;  // a random priority for each warp
  std::string error;
};
thread_local Block* tls = nullptr;


struct Range { const char* lo; const char* hi; std::string name; bool writable; uint32_t* owner; };
std::mutex ranges_lock;
std::vector<Range> ranges;  // read without the lock while a grid runs: registered before, dropped after

// ------------------------------------------------------------------------------- context switch
[[gnu::naked, gnu::noinline]] void switch_stack(void** /*save*/, void* /*load*/) {
  asm("pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n\t"
      "movq %rsp, (%rdi); movq %rsi, %rsp\n\t"
      "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret");
}
void leave(Block& b);
void entry() {
  Block& b = *tls;
  b.body(b.call);
  b.self->done = true;
  --b.live;
  leave(b);
}
char* map_stack(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  mprotect(p, 4096, PROT_NONE);
  return static_cast<char*>(p);
}
void prepare(Thread& t, size_t stack_bytes) {
  auto** top = reinterpret_cast<void**>(t.stack + stack_bytes - 64 - t.tid % 32 * 128);  // spread over cache sets
  *--top = nullptr;  // entry never returns; keeps the stack 16-byte aligned at its first push
  *--top = reinterpret_cast<void*>(&entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  t.sp = top;
}

// ------------------------------------------------------------------------------------- reports
std::string at(const Where& w) {
  std::string f = w.file_name();
  return f.substr(f.rfind('/') + 1) + ":" + std::to_string(w.line());
}
std::string at(void* pc) {  // file and line of an address, through addr2line
  Dl_info d{};
  link_map* m = nullptr;
  if (!dladdr1(pc, &d, reinterpret_cast<void**>(&m), RTLD_DL_LINKMAP)) return "?";
  char cmd[512], line[256];
  std::string out;
  snprintf(cmd, sizeof cmd, "addr2line -s -i -e %s %#lx", m->l_name[0] ? m->l_name : "/proc/$PPID/exe",
           reinterpret_cast<unsigned long>(pc) - m->l_addr - 1);
  if (FILE* p = popen(cmd, "r")) {
    while (fgets(line, sizeof line, p)) out += (out.empty() ? "" : " in ") + std::string(line, strcspn(line, " \n"));
    pclose(p);
  }
  return out;  // innermost inlined function first
}
std::string name(const Block& b, unsigned tid) {
  if (tid >= b.n) return tid < b.n + kMbarriers ? "an asynchronous copy" : "a wgmma in flight";
  char s[96];
  const uint3 i = b.threads[tid].idx;
  snprintf(s, sizeof s, "thread (%u,%u,%u)", i.x, i.y, i.z);
  return s;
}
[[noreturn]] void fail(const std::string& what, const std::string& where) {
  Block& b = *tls;
  char s[96];
  snprintf(s, sizeof s, " in block (%u,%u,%u)", b.idx.x, b.idx.y, b.idx.z);
  b.error = where + ": " + what + s + (b.self ? ", " + name(b, b.self->tid) : "");
  void* dead;
  switch_stack(&dead, b.scheduler);  // the block is abandoned; its stacks are reused
  __builtin_unreachable();
}

// A wild access that no check saw (fast build), or a fiber stack that ran into its guard page.
void on_fault(int, siginfo_t* info, void* context) {
  Block* b = tls;
  if (!b || !b->self) { signal(SIGSEGV, SIG_DFL); return; }
  void* pc = reinterpret_cast<void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] + 1);
  const char* p = static_cast<const char*>(info->si_addr);
  const bool stack = p >= b->self->stack && p < b->self->stack + 4096;
  fail(stack ? "the thread's stack is too small" : "access to unmapped memory", at(pc));
}
void catch_faults() {
  thread_local char alternate[64 * 1024];
  stack_t st{};
  st.ss_sp = alternate;
  st.ss_size = sizeof alternate;
  sigaltstack(&st, nullptr);
  struct sigaction a{};
  a.sa_sigaction = on_fault;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &a, nullptr);
}

// ---------------------------------------------------------------------------------- scheduling
bool finish_bulk(Block& b);
void deadlock(Block& b) {
  std::map<std::string, unsigned> groups;
  for (Thread& t : b.threads)
    if (!t.done) ++groups[std::string(t.waits) + " at " + at(t.where)];
  std::string s;
  for (auto& [k, v] : groups) s += (s.empty() ? "" : "; ") + std::to_string(v) + " wait for " + k;
  b.self = nullptr;
  fail((b.live < b.n ? std::to_string(b.n - b.live) + " threads have exited; " : "") + s, "deadlock");
}
void leave(Block& b) {  // the current thread cannot go on: run another
  if (b.head == b.ready.size() && b.live) {
    while (b.head == b.ready.size() && finish_bulk(b)) {}
    if (b.head == b.ready.size()) deadlock(b);
  }
  void** save = &b.self->sp;
  if (!b.live) return switch_stack(save, b.scheduler);
  if (b.shuffle) {  // of four random candidates the one whose warp ranks highest, so that warps drift apart
    size_t best = b.head;
    for (int i = 0; i < 4; ++i) {
      const size_t c = b.head + b.rng() % (b.ready.size() - b.head);
      if (b.rank[b.ready[c] / 32] >= b.rank[b.ready[best] / 32]) best = c;
    }
    std::swap(b.ready[b.head], b.ready[best]);
    if (b.rng() % 1024 == 0) b.rank[b.rng() % b.rank.size()] = static_cast<unsigned>(b.rng());
  }
  Thread* next = &b.threads[b.ready[b.head++]];
  if (b.head > 4096) { b.ready.erase(b.ready.begin(), b.ready.begin() + b.head); b.head = 0; }
  if (next == b.self) return;
  b.self = next;
  switch_stack(save, next->sp);
}
void block_on(Block& b, const char* what, const Where& w) {
  b.self->waits = what;
  b.self->where = w;
  leave(b);
}

// ------------------------------------------------------------------------------ happens-before
bool before(Block& b, uint32_t e, const Thread& t) {
  const unsigned who = (e >> 20) - 1;
  const uint32_t clock = e & 0xfffff;
  return who == t.tid || clock <= b.base[who] || (t.interval == b.interval && clock <= b.vc[t.tid][who]);
}
Clock& row(Block& b, Thread& t) {
  Clock& c = b.vc[t.tid];
  if (t.interval != b.interval || c.empty()) { c = b.base; t.interval = b.interval; }
  c[t.tid] = t.clock;
  return c;
}
void join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}
void release(Block& b, Thread& t, Clock& into) {
  if (b.shadow.empty()) return;
  join(into, row(b, t));
  ++t.clock;
}
void acquire(Block& b, Thread& t, const Clock& from) {
  if (!b.shadow.empty()) join(row(b, t), from);
}

// agent: the epoch to leave behind when an asynchronous unit, not the thread, does the access.
void shared_access(Block& b, size_t off, size_t n, bool write, void* pc, bool async = false, uint32_t agent = 0) {
  Thread& t = *b.self;
  const uint32_t me = agent ? agent : epoch(t.tid, t.clock);
  for (size_t g = off / kGranule; g <= (off + n - 1) / kGranule; ++g) {
    Cell& c = b.shadow[g];
    auto where = [&] { return " of shared memory byte " + std::to_string(g * kGranule); };
    if (c.write == kPending)
      fail(std::string(write ? "write" : "read") + where() + ": an asynchronous copy into it has not been waited for", at(pc));
    if (!write && !c.write) fail("uninitialised read" + where(), at(pc));
    if (c.write && !before(b, c.write, t))
      fail(std::string("race: ") + (write ? "write" : "read") + where() + " after an unordered write by " +
           name(b, (c.write >> 20) - 1), at(pc));
    const unsigned writer = (c.write >> 20) - 1;
    if (!write && agent && writer < b.n && (c.write & 0xfffff) > b.threads[writer].fenced)
      fail("read" + where() + " by the asynchronous proxy without fence.proxy.async after the write by " + name(b, writer), at(pc));
    if (!write) {
      uint32_t* slot = &c.reads[t.tid & 3];
      for (uint32_t& r : c.reads)
        if (!r || before(b, r, t)) { slot = &r; break; }
      *slot = me;
    } else {
      for (uint32_t& r : c.reads) {
        if (r && !before(b, r, t))
          fail("race: write" + where() + " after an unordered read by " + name(b, (r >> 20) - 1), at(pc));
        r = 0;
      }
      c.write = async ? kPending : me;
    }
  }
}

[[noreturn]] void outside(const Range& r, const char* p, size_t n, bool write, void* pc) {
  fail(std::string(write ? "write" : "read") + " of " + std::to_string(n) + " bytes at byte " + std::to_string(p - r.lo) +
       " of " + r.name + ", which has " + std::to_string(r.hi - r.lo), at(pc));
}
// The check behind every load and store of an instrumented kernel.
void access(const void* ptr, size_t n, bool write, void* pc) {
  Block* b = tls;
  if (!b || !b->self) return;  // host code outside a kernel
  const char* p = static_cast<const char*>(ptr);
  if (p >= b->self->stack && p < b->self->stack + b->stack_bytes) return;
  const ptrdiff_t off = p - reinterpret_cast<char*>(b->smem);
  if (off >= -static_cast<ptrdiff_t>(kRedZone) && off < static_cast<ptrdiff_t>(kArena + kRedZone)) {
    if (off < 0 || off + n > b->smem_bytes)
      fail(std::string(write ? "write" : "read") + " of shared memory byte " + std::to_string(off) + ", beyond its " +
           std::to_string(b->smem_bytes) + " bytes", at(pc));
    return shared_access(*b, off, n, write, pc);
  }
  if (p >= b->call && p < static_cast<const char*>(b->call) + b->call_bytes) return;
  const Range* near = nullptr;
  for (const Range& r : ranges) {
    if (p + n <= r.lo || p >= r.hi) {
      if (p + 4096 > r.lo && p < r.hi + 4096 && (!near || p >= r.hi)) near = &r;
      continue;
    }
    if (p < r.lo || p + n > r.hi) outside(r, p, n, write, pc);
    if (write && !r.writable) fail("write to the read-only " + r.name, at(pc));
    const uint32_t me = 1 + b->idx.x + b->grid.x * (b->idx.y + b->grid.y * b->idx.z);
    if (r.writable)
      for (size_t i = (p - r.lo) / 4; i <= (p - r.lo + n - 1) / 4; ++i) {
        uint32_t& o = r.owner[i];
        if (o && o != me && n >= 4) fail(std::string(write ? "write" : "read") + " of " + r.name + " byte " + std::to_string(4 * i) +
                               ", which block number " + std::to_string(o - 1) + " wrote in this launch", at(pc));
        if (write) o = me;
      }
    return;
  }
  if (near) outside(*near, p, n, write, pc);
  Dl_info d;
  if (!write && dladdr(p, &d)) return;  // constants of the program itself
  fail(std::string(write ? "write" : "read") + " of memory that is no argument's", at(pc));
}

// --------------------------------------------------------------------------------- completions
void move(const CopyAsync& c) {
  memcpy(c.dst, c.src, c.src_bytes);
  memset(c.dst + c.src_bytes, 0, c.bytes - c.src_bytes);
}
void complete_copies(Block& b, Thread& t, unsigned groups) {  // all of number < groups
  while (!t.copies.empty() && t.copies.front().group < groups) {
    const CopyAsync c = t.copies.front();
    t.copies.pop_front();
    if (!c.moved) move(c);
    if (!b.shadow.empty())
      for (unsigned i = 0; i < c.bytes; i += kGranule)
        b.shadow[(c.dst - b.smem + i) / kGranule].write = epoch(t.tid, t.clock);
  }
}
void advance(Block& b, Mbarrier& m) {
  if (m.arrived < m.count || m.tx) return;
  m.arrived = 0;
  ++m.phase;
  for (unsigned w : m.waiting) b.ready.push_back(w);
  m.waiting.clear();
}
bool finish_bulk(Block& b) {
  if (b.bulk.empty()) return false;
  const size_t i = b.shuffle ? b.rng() % b.bulk.size() : 0;
  Bulk k = std::move(b.bulk[i]);
  b.bulk.erase(b.bulk.begin() + i);
  memcpy(k.dst, k.data.data(), k.data.size());
  Mbarrier& m = b.mbars.at(k.bar);
  if (!b.shadow.empty()) {
    for (size_t j = 0; j < k.data.size(); j += kGranule) b.shadow[(k.dst - b.smem + j) / kGranule].write = k.stamp;
    if (m.seen.size() < b.base.size()) m.seen.resize(b.base.size());
    uint32_t& seen = m.seen[b.n + m.agent];
    seen = std::max(seen, k.stamp & 0xfffff);  // copies of one phase finish in any order
  }
  m.tx -= static_cast<long>(k.data.size());
  advance(b, m);
  return true;
}

// ----------------------------------------------------------------------------------- one block
void run_block(Block& b, uint3 idx, bool checked, uint64_t seed) {
  b.idx = idx;
  b.live = b.n;
  b.interval = b.agent_clock = b.head = 0;
  b.rng.seed(seed * 0x9e3779b97f4a7c15ull + idx.x + 65537ull * idx.y + 1000003ull * idx.z);
  b.bulk.clear();
  b.mbars.clear();
  for (Barrier& x : b.bars) x = Barrier{};
  for (unsigned& g : b.group_arrived) g = 0;
  b.warps.assign((b.n + 31) / 32, {});
  memset(b.smem, 0xff, b.smem_bytes);  // NaN in fp32, fp16 and bf16
  b.shadow.assign(checked ? (b.smem_bytes + kGranule - 1) / kGranule + 1 : 0, Cell{});
  b.base.assign(b.n + kAgents, 0);
  b.vc.resize(checked ? b.n : 0);
  b.ready.resize(b.n);
  for (unsigned t = 0; t < b.n; ++t) {
    Thread& x = b.threads[t];
    x.tid = b.ready[t] = t;
    x.stack = b.stacks[t];
    x.idx = {t % b.dim.x, t / b.dim.x % b.dim.y, t / b.dim.x / b.dim.y};
    x.clock = 1;
    x.interval = ~0u;
    x.group = 0;
    x.done = false;
    x.copies.clear();
    x.wgmmas.clear();
    x.wgmma_group = x.fenced = 0;
    prepare(x, b.stack_bytes);
  }
  b.rank.resize((b.n + 31) / 32);
  for (unsigned& r : b.rank) r = static_cast<unsigned>(b.rng());
  if (b.shuffle) std::swap(b.ready[0], b.ready[b.rng() % b.n]);
  b.head = 1;
  b.self = &b.threads[b.ready[0]];
  switch_stack(&b.scheduler, b.self->sp);
  b.self = nullptr;
}
// set by __tsan_init, which every instrumented file calls at start-up

bool instrumented = false;
void put_in_warp(Block& b, WarpMeet& m, unsigned warp, bool orders) {
  Thread* lanes = &b.threads[warp * 32];
  void* args[32];
  for (int l = 0; l < 32; ++l) args[l] = m.mask >> l & 1 ? lanes[l].arg : nullptr;
  if (m.op) m.op(args, m.mask);
  if (!orders || b.shadow.empty()) return;
  Clock seen;
  for (int l = 0; l < 32; ++l)
    if (m.mask >> l & 1) release(b, lanes[l], seen);
  for (int l = 0; l < 32; ++l)
    if (m.mask >> l & 1) acquire(b, lanes[l], seen);
}
size_t offset_in_smem(const Block& b, const void* p) { return static_cast<const unsigned char*>(p) - b.smem; }

}  // namespace

// ------------------------------------------------------------------------------------- interface
constinit thread_local uint64_t multiply_adds = 0;
bool is_checked() { return instrumented; }
Stats& stats() { static Stats s; return s; }
Options& options() { static Options o; return o; }
uint3 thread_idx() { return tls->self->idx; }
uint3 block_idx() { return tls->idx; }
dim3 block_dim() { return tls->dim; }
dim3 grid_dim() { return tls->grid; }
unsigned char* dynamic_smem() { return tls->smem; }
int lane_id() { return static_cast<int>(tls->self->tid & 31); }

constexpr size_t kSlot = size_t{4} << 30, kPage = 4096;
size_t slot_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
void* slot_alloc(size_t bytes, int fill) {
  auto* base = static_cast<char*>(mmap(nullptr, 2 * kSlot, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  char* end = base + kSlot + slot_pages(bytes);
  mprotect(base + kSlot, slot_pages(bytes), PROT_READ | PROT_WRITE);
  if (fill) memset(end - slot_pages(bytes), fill, slot_pages(bytes));
  return end - (bytes + 15) / 16 * 16;
}
void slot_free(void* p, size_t bytes) {
  munmap(static_cast<char*>(p) + (bytes + 15) / 16 * 16 - slot_pages(bytes) - kSlot, 2 * kSlot);
}

Global::Global(const void* p, size_t bytes, const char* name, bool writable) : memory_(p) {
  if (!p || !bytes) return;
  std::lock_guard lock(ranges_lock);
  auto* c = static_cast<const char*>(p);
  ranges.push_back({c, c + bytes, name, writable, writable ? new uint32_t[bytes / 4 + 1]() : nullptr});
}
Global::~Global() {
  std::lock_guard lock(ranges_lock);
  std::erase_if(ranges, [&](Range& r) { if (r.lo == memory_) delete[] r.owner; return r.lo == memory_; });
}

void warp_op(unsigned mask, void* arg, WarpOp op, Where where, bool orders_memory = false) {
  Block& b = *tls;
  Thread& t = *b.self;
  const unsigned warp = t.tid / 32, bit = 1u << (t.tid & 31);
  if (b.n - warp * 32 < 32) mask &= (1u << (b.n - warp * 32)) - 1;
  if (!(mask & bit)) fail("a warp operation's mask leaves out its own lane", at(where));
  auto& meets = b.warps[warp];
  auto m = std::ranges::find_if(meets, [&](WarpMeet& x) { return x.mask & mask; });
  if (m == meets.end()) m = meets.insert(meets.end(), {mask, 0, op, where});
  if (m->mask != mask || m->op != op || m->where.line() != where.line())
    fail("warp divergence: other lanes of the warp wait at " + at(m->where), at(where));
  t.arg = arg;
  m->arrived |= bit;
  if (m->arrived != mask) return block_on(b, "its warp", where);
  WarpMeet all = *m;
  meets.erase(m);
  put_in_warp(b, all, warp, orders_memory);
  for (unsigned l = 0; l < 32; ++l)
    if ((mask & ~bit) >> l & 1) b.ready.push_back(warp * 32 + l);
}

struct ShuffleArg { uint64_t value; uint64_t out; int source; unsigned votes; };
static void shuffle_op(void* const* lanes, unsigned mask) {
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) {
      auto* me = static_cast<ShuffleArg*>(lanes[l]);
      if (!(mask >> me->source & 1)) fail("shuffle from lane " + std::to_string(me->source) + ", which its mask leaves out", "?");
      me->out = static_cast<ShuffleArg*>(lanes[me->source])->value;
    }
}
static void vote_op(void* const* lanes, unsigned mask) {
  unsigned votes = 0;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1 && static_cast<ShuffleArg*>(lanes[l])->value) votes |= 1u << l;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) static_cast<ShuffleArg*>(lanes[l])->votes = votes;
}
void sync_warp(unsigned mask, Where w) { warp_op(mask, nullptr, nullptr, w, true); }
uint64_t shuffle(unsigned mask, uint64_t value, int source, int, Where w) {
  ShuffleArg a{value, 0, source, 0};
  warp_op(mask, &a, shuffle_op, w, false);
  return a.out;
}
unsigned ballot(unsigned mask, bool vote, Where w) {
  ShuffleArg a{vote, 0, 0, 0};
  warp_op(mask, &a, vote_op, w, false);
  return a.votes;
}
void barrier(unsigned id, unsigned count, Where where) {
  Block& b = *tls;
  Thread& t = *b.self;
  Barrier& x = b.bars[id];
  const bool whole = !count;
  if (whole) count = b.n;
  if (!x.arrived) { x.where = where; x.expected = count; }
  if (x.expected != count || (whole && x.where.line() != where.line()))
    fail("barrier divergence: other threads wait at " + at(x.where), at(where));
  if (!whole) release(b, t, x.seen);
  x.waiting.push_back(t.tid);
  if (++x.arrived < count) {
    block_on(b, "a barrier", where);
  } else {
    if (whole && !b.shadow.empty()) {
      for (Thread& u : b.threads) b.base[u.tid] = u.clock++;
      ++b.interval;
    } else if (!whole) {
      for (unsigned w : x.waiting) acquire(b, b.threads[w], x.seen);
      x.seen.clear();
    }
    for (unsigned w : x.waiting) if (w != t.tid) b.ready.push_back(w);
    x.waiting.clear();
    x.arrived = 0;
  }
}

void cp_async(void* dst, const void* src, unsigned bytes, unsigned src_bytes) {
  Block& b = *tls;
  Thread& t = *b.self;
  void* pc = __builtin_return_address(0);
  if (reinterpret_cast<uintptr_t>(dst) % bytes || reinterpret_cast<uintptr_t>(src) % bytes) fail("misaligned cp.async", at(pc));
  if (!b.shadow.empty()) {
    if (src_bytes) access(src, src_bytes, false, pc);
    const size_t off = offset_in_smem(b, dst);
    if (off + bytes > b.smem_bytes) fail("cp.async beyond shared memory", at(pc));
    shared_access(b, off, bytes, true, pc, true);
  }
  t.copies.push_back({static_cast<unsigned char*>(dst), static_cast<const unsigned char*>(src), bytes, src_bytes, t.group, b.shuffle && b.rng() % 2});
  if (t.copies.back().moved) move(t.copies.back());  // the earliest moment; the wait is the latest
}
void cp_async_commit() { ++tls->self->group; }
void cp_async_wait(unsigned pending) {
  Thread& t = *tls->self;
  if (t.group > pending) complete_copies(*tls, t, t.group - pending);
}

void mbar_init(uint64_t* bar, unsigned count) {
  Block& b = *tls;
  Mbarrier& m = b.mbars[bar];
  const unsigned agent = static_cast<unsigned>(b.mbars.size() - 1) % kMbarriers;
  m = Mbarrier{};
  m.count = count;
  m.agent = agent;
}
void mbar_expect_tx(uint64_t* bar, unsigned bytes) { tls->mbars.at(bar).tx += bytes; mbar_arrive(bar); }
void mbar_arrive(uint64_t* bar) {
  Mbarrier& m = tls->mbars.at(bar);
  release(*tls, *tls->self, m.seen);
  ++m.arrived;
  advance(*tls, m);
}
void mbar_wait(uint64_t* bar, unsigned parity, Where where) {
  Block& b = *tls;
  Mbarrier& m = b.mbars.at(bar);
  while ((m.phase & 1) == parity) {
    m.waiting.push_back(b.self->tid);
    block_on(b, "an mbarrier", where);
  }
  acquire(b, *b.self, m.seen);
}
void bulk_copy_rows(void* dst, const void* const* rows, unsigned n, unsigned row_bytes, bool swizzle128, uint64_t* bar, void* pc) {
  Block& b = *tls;
  Mbarrier& m = b.mbars.at(bar);
  const uint32_t stamp = epoch(b.n + m.agent, ++b.agent_clock);
  if (reinterpret_cast<uintptr_t>(dst) % (swizzle128 ? 1024 : 128)) fail("misaligned bulk copy", at(pc));
  if (!b.shadow.empty()) {
    for (unsigned r = 0; r < n; ++r) if (rows[r]) access(rows[r], row_bytes, false, pc);
    shared_access(b, offset_in_smem(b, dst), size_t{n} * row_bytes, true, pc, true);
  }
  std::vector<unsigned char> data(size_t{n} * row_bytes, 0);
  for (unsigned r = 0; r < n; ++r)
    for (unsigned c = 0; c < row_bytes; c += 16) {
      const unsigned at16 = r * row_bytes + c;
      if (rows[r]) memcpy(&data[swizzle128 ? at16 ^ (at16 >> 3 & 0x70) : at16], static_cast<const char*>(rows[r]) + c, 16);
    }
  b.bulk.push_back({static_cast<unsigned char*>(dst), std::move(data), bar, stamp});
  if (b.shuffle && b.rng() % 2) finish_bulk(b);
}

// ---- tensor core models: the fragment layouts of the PTX manual
namespace {
struct LdArg { uint32_t* r; const void* row; bool trans; };
void ldmatrix_op(void* const* lanes, unsigned) {
  for (int i = 0; i < 32; i += 8) {  // eight rows of 16 bytes fill the 128 bytes of one pass, if no two share a column
    unsigned columns[8] = {};
    for (int r = 0; r < 8; ++r) ++columns[reinterpret_cast<uintptr_t>(static_cast<LdArg*>(lanes[i + r])->row) / 16 % 8];
    std::atomic_ref(stats().ldmatrix)++;
    std::atomic_ref(stats().ldmatrix_conflicts) += *std::max_element(columns, columns + 8) - 1;
  }
  for (int l = 0; l < 32; ++l) {
    auto* me = static_cast<LdArg*>(lanes[l]);
    for (int i = 0; i < 4; ++i) {
      uint16_t v[2];
      for (int e = 0; e < 2; ++e) {
        const int r = me->trans ? (l % 4) * 2 + e : l / 4, c = me->trans ? l / 4 : (l % 4) * 2 + e;
        v[e] = static_cast<const uint16_t*>(static_cast<LdArg*>(lanes[i * 8 + r])->row)[c];
      }
      me->r[i] = v[0] | uint32_t{v[1]} << 16;
    }
  }
}
struct MmaArg { float* d; const uint32_t* a; const uint32_t* b; };
float low(uint32_t v) { return std::bit_cast<float>(v << 16); }
float high(uint32_t v) { return std::bit_cast<float>(v & 0xffff0000u); }
void mma_bf16_op(void* const* lanes, unsigned) {
  float a[16][16], b[16][8], d[16][8];
  for (int l = 0; l < 32; ++l) {
    auto* x = static_cast<MmaArg*>(lanes[l]);
    const int g = l / 4, k = l % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      a[g + i % 2 * 8][k + i / 2 * 8] = low(x->a[i]);
      a[g + i % 2 * 8][k + i / 2 * 8 + 1] = high(x->a[i]);
    }
    for (int i = 0; i < 2; ++i) { b[k + i * 8][g] = low(x->b[i]); b[k + i * 8 + 1][g] = high(x->b[i]); }
    for (int i = 0; i < 4; ++i) d[g + i / 2 * 8][k + i % 2] = x->d[i];
  }
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 8; ++n) d[m][n] += a[m][k] * b[k][n];
  for (int l = 0; l < 32; ++l)
    for (int i = 0; i < 4; ++i) static_cast<MmaArg*>(lanes[l])->d[i] = d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}
}  // namespace
void ldmatrix_x4(uint32_t* r, const void* row, bool trans, Where where) {
  if (reinterpret_cast<uintptr_t>(row) % 16) fail("misaligned ldmatrix row", at(where));
  if (!tls->shadow.empty()) access(row, 16, false, __builtin_return_address(0));
  LdArg a{r, row, trans};
  warp_op(~0u, &a, ldmatrix_op, where);
}
void mma_m16n8k16_bf16(float* d, const uint32_t* a, const uint32_t* b, Where where) {
  MmaArg x{d, a, b};
  warp_op(~0u, &x, mma_bf16_op, where);
}

// ---- Hopper: tensor copies and warpgroup products
void tma_im2col(void* dst, const TensorMap& m, int c, int w, int h, int n, unsigned w_off, unsigned h_off, uint64_t* bar) {
  std::vector<const void*> rows(m.rows);
  for (unsigned p = 0; p < m.rows; ++p) {
    const int x = w + static_cast<int>(w_off), y = h + static_cast<int>(h_off);
    const bool in = x >= 0 && x < int(m.dim[1]) && y >= 0 && y < int(m.dim[2]) && n < int(m.dim[3]);
    rows[p] = in ? m.base + (((size_t(n) * m.dim[2] + y) * m.dim[1] + x) * m.dim[0] + c) * m.element : nullptr;
    if ((w += m.stride[0]) < int(m.dim[1]) + m.upper[0]) continue;  // the box: lower .. dim + upper
    w = m.lower[0];
    if ((h += m.stride[1]) < int(m.dim[2]) + m.upper[1]) continue;
    h = m.lower[1];
    ++n;
  }
  bulk_copy_rows(dst, rows.data(), m.rows, m.cols * m.element, true, bar, __builtin_return_address(0));
}
void tma_tile(void* dst, const TensorMap& m, int col, int row, uint64_t* bar) {
  std::vector<const void*> rows(m.rows);
  for (unsigned r = 0; r < m.rows; ++r)
    rows[r] = row + r < m.dim[1] ? m.base + (size_t(row + r) * m.dim[0] + col) * m.element : nullptr;
  bulk_copy_rows(dst, rows.data(), m.rows, m.cols * m.element, true, bar, __builtin_return_address(0));
}
void fence_proxy_async() { tls->self->fenced = tls->self->clock++; }

namespace {
struct WgArg { float* d; unsigned n; uint64_t a, b; };
// One operand as floats: K-major rows of 128 bytes in groups of 8 rows, each group SBO bytes on.
void read_operand(Block& b, uint64_t desc, unsigned rows, float (*out)[16], uint32_t agent, void* pc) {
  const size_t start = (desc & 0x3fff) << 4, sbo = (desc >> 32 & 0x3fff) << 4;
  if (desc >> 62 != 1) fail("wgmma model: only the 128-byte swizzle", at(pc));
  for (unsigned r = 0; r < rows; ++r)
    for (unsigned k = 0; k < 16; k += 8) {
      size_t o = start + r / 8 * sbo + r % 8 * 128 + k * 2;
      o ^= o >> 3 & 0x70;
      if (o + 16 > b.smem_bytes) fail("wgmma operand beyond shared memory", at(pc));
      if (!b.shadow.empty()) shared_access(b, o, 16, false, pc, true, agent);
      uint16_t v[8];
      memcpy(v, b.smem + o, 16);
      for (int i = 0; i < 8; ++i) out[r][k + i] = low(v[i]);
    }
}
}  // namespace
void wgmma_m64k16_bf16(float* d, unsigned n, uint64_t desc_a, uint64_t desc_b, Where where) {
  Block& b = *tls;
  Thread& t = *b.self;
  void* pc = __builtin_return_address(0);
  const unsigned wg = t.tid / 128;
  WgArg mine{d, n, desc_a, desc_b};
  t.arg = &mine;
  if (++b.group_arrived[wg] < 128) return block_on(b, "its warpgroup", where);
  b.group_arrived[wg] = 0;
  static thread_local float x[64][16], w[256][16], wt[16][256], acc[64][256];
  const uint32_t agent = epoch(b.n + kMbarriers + wg, t.wgmma_group + 1);
  for (unsigned l = 0; l < 128; ++l) {
    auto* a = static_cast<WgArg*>(b.threads[wg * 128 + l].arg);
    if (a->a != desc_a || a->b != desc_b) fail("wgmma descriptors differ within the warpgroup", at(where));
  }
  read_operand(b, desc_a, 64, x, agent, pc);
  read_operand(b, desc_b, n, w, agent, pc);
  for (unsigned j = 0; j < n; ++j) for (int k = 0; k < 16; ++k) wt[k][j] = w[j][k];
  for (int m = 0; m < 64; ++m) {
    for (unsigned j = 0; j < n; ++j) acc[m][j] = 0;
    for (int k = 0; k < 16; ++k)
      for (unsigned j = 0; j < n; ++j) acc[m][j] += x[m][k] * wt[k][j];
  }
  for (unsigned l = 0; l < 128; ++l) {  // the result stays hidden, d a NaN, until wgmma_wait
    Thread& u = b.threads[wg * 128 + l];
    float* ud = static_cast<WgArg*>(u.arg)->d;
    Wgmma r{ud, std::vector<float>(ud, ud + n / 2), u.wgmma_group};
    for (auto it = u.wgmmas.rbegin(); it != u.wgmmas.rend(); ++it) if (it->d == ud) { r.value = it->value; break; }
    for (unsigned i = 0; i < n / 2; ++i) {
      r.value[i] += acc[l / 32 * 16 + l % 32 / 4 + i / 2 % 2 * 8][i / 4 * 8 + l % 4 * 2 + i % 2];
      ud[i] = std::bit_cast<float>(~0u);
    }
    u.wgmmas.push_back(std::move(r));
    if (&u != &t) b.ready.push_back(u.tid);
  }
}
void wgmma_commit() { ++tls->self->wgmma_group; }
void wgmma_wait(unsigned pending) {
  Block& b = *tls;
  Thread& t = *b.self;
  if (t.wgmma_group <= pending) return;
  const unsigned groups = t.wgmma_group - pending;
  std::map<float*, const Wgmma*> last;
  for (const Wgmma& w : t.wgmmas) last[w.d] = &w;
  while (!t.wgmmas.empty() && t.wgmmas.front().group < groups) {
    const Wgmma& w = t.wgmmas.front();
    if (last[w.d] == &w) memcpy(w.d, w.value.data(), w.value.size() * sizeof(float));
    t.wgmmas.pop_front();
  }
  if (!b.shadow.empty()) row(b, t)[b.n + kMbarriers + t.tid / 128] = groups;
}

void run_grid(dim3 grid, dim3 dim, size_t smem, void (*body)(const void*), const void* call, size_t call_bytes) {
  const Options opt = options();
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (smem > 227 * 1024 || dim.x * dim.y * dim.z > 1024 || !blocks) throw Error("invalid launch configuration");
  for (Range& r : ranges) if (r.owner) memset(r.owner, 0, (r.hi - r.lo) / 4 * 4 + 4);
  std::atomic<uint64_t> next{0};
  std::mutex lock;
  std::string error;
  static std::mutex one_launch;
  static std::vector<std::unique_ptr<Block>> cache;  // one a worker, with its stacks, kept for the next launch
  std::lock_guard launch(one_launch);
  while (cache.size() < size_t(std::max(1, opt.workers))) cache.push_back(std::make_unique<Block>());
  auto work = [&](int worker) {
    Block& b = *(tls = cache[worker].get());
    catch_faults();
    if (!b.arena) {
      b.arena = static_cast<unsigned char*>(mmap(nullptr, kArena + 2 * kRedZone, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      b.smem = b.arena + kRedZone;
    }
    b.n = dim.x * dim.y * dim.z;
    b.threads.resize(b.n);
    for (size_t t = b.stacks.size(); t < b.n; ++t) b.stacks.push_back(map_stack(opt.stack));
    b.grid = grid; b.dim = dim; b.smem_bytes = smem; b.body = body; b.call = call; b.call_bytes = call_bytes;
    b.stack_bytes = opt.stack; b.shuffle = opt.seed; b.error.clear();
    for (uint64_t i; error.empty() && (i = next++) < blocks;) {
      const uint64_t j = opt.seed ? blocks - 1 - i : i;
      run_block(b, {unsigned(j % grid.x), unsigned(j / grid.x % grid.y), unsigned(j / grid.x / grid.y)}, instrumented, opt.seed);
      if (b.error.empty()) continue;
      std::lock_guard g(lock);
      error = b.error;
    }
    std::lock_guard g(lock);
    stats().multiply_adds += multiply_adds;
    multiply_adds = 0;
    tls = nullptr;
  };
  std::vector<std::thread> pool;
  for (int w = 1; w < opt.workers && uint64_t(w) < blocks; ++w) pool.emplace_back(work, w);
  work(0);
  for (auto& t : pool) t.join();
  if (!error.empty()) throw Error(error + " (seed " + std::to_string(opt.seed) + ")");
}
}  // namespace simt

// --------------------------------------------- what -fsanitize=thread calls, in place of libtsan
#define SIMT_HOOK(n) \
  extern "C" void __tsan_read##n(void* p) { simt::access(p, n, false, __builtin_return_address(0)); } \
  extern "C" void __tsan_write##n(void* p) { simt::access(p, n, true, __builtin_return_address(0)); } \
  extern "C" void __tsan_unaligned_read##n(void* p) { simt::access(p, n, false, __builtin_return_address(0)); } \
  extern "C" void __tsan_unaligned_write##n(void* p) { simt::access(p, n, true, __builtin_return_address(0)); }
SIMT_HOOK(1) SIMT_HOOK(2) SIMT_HOOK(4) SIMT_HOOK(8) SIMT_HOOK(16)
extern "C" void __tsan_read_range(void* p, size_t n) { simt::access(p, n, false, __builtin_return_address(0)); }
extern "C" void __tsan_write_range(void* p, size_t n) { simt::access(p, n, true, __builtin_return_address(0)); }
extern "C" void __tsan_init() { simt::instrumented = true; }
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}

#define SIMT_ATOMICS(T) \
  T atomicAdd(T* p, T v) { return __atomic_fetch_add(p, v, 0); } \
  T atomicSub(T* p, T v) { return __atomic_fetch_sub(p, v, 0); } \
  T atomicAnd(T* p, T v) { return __atomic_fetch_and(p, v, 0); } \
  T atomicOr(T* p, T v) { return __atomic_fetch_or(p, v, 0); } \
  T atomicXor(T* p, T v) { return __atomic_fetch_xor(p, v, 0); } \
  T atomicExch(T* p, T v) { return __atomic_exchange_n(p, v, 0); } \
  T atomicCAS(T* p, T e, T d) { __atomic_compare_exchange_n(p, &e, d, false, 0, 0); return e; } \
  T atomicMin(T* p, T v) { T o = *p; while (v < o && !__atomic_compare_exchange_n(p, &o, v, false, 0, 0)) {} return o; } \
  T atomicMax(T* p, T v) { T o = *p; while (v > o && !__atomic_compare_exchange_n(p, &o, v, false, 0, 0)) {} return o; }
SIMT_ATOMICS(int)
SIMT_ATOMICS(unsigned)
SIMT_ATOMICS(unsigned long long)
