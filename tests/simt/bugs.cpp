// SPDX-License-Identifier: BSD-3-Clause
// Every mistake that the emulator promises to find is planted once, and its report is read: what is
// wrong, and file and line of the place that the kernel's source marks with the mistake's name.
#include <cstdio>
#include <fstream>
#include <regex>

#include "check.h"

namespace {

constexpr const char* kNames[] = {
#define SIMT_BUG(name) #name,
    SIMT_BUGS(SIMT_BUG)
#undef SIMT_BUG
};

// What the report of a build must match. Nothing: the build does not promise to find it. "value":
// it shows as a wrong result under some schedule.
struct Planted {
  Bug bug;
  void (*run)(Bug);
  const char* file;
  const char* checked;
  const char* fast;
};

const Planted kPlanted[] = {
    {Bug::kMissingBarrier, run_stencil, "stencil.cu", "uninitialised read|race: (read|write) of",
     "value"},
    {Bug::kSharedOutOfBounds, run_stencil, "stencil.cu",
     "read of 4 bytes at shared memory byte 1[0-9]+, beyond its 1296 bytes", "value"},
    {Bug::kSharedUnderflow, run_stencil, "stencil.cu",
     "read of 4 bytes at shared memory byte -[0-9]+, beyond", nullptr},
    {Bug::kGlobalOutOfBounds, run_stencil, "stencil.cu",
     "read of 4 bytes at byte [0-9]+ of x, which has 2940", nullptr},
    {Bug::kGlobalUnderflow, run_stencil, "stencil.cu", "read of 4 bytes at byte -[0-9]+ of x",
     nullptr},
    {Bug::kUninitialised, run_stencil, "stencil.cu",
     "uninitialised read of shared memory byte 1292", "value"},
    {Bug::kEarlyReturn, run_stencil, "stencil.cu",
     "deadlock: [0-9]+ threads have exited; [0-9]+ wait for a barrier", "same"},
    {Bug::kTwoBarriers, run_stencil, "stencil.cu",
     "barrier divergence: other threads wait at stencil.cu:[0-9]+", "same"},
    {Bug::kWritesInput, run_stencil, "stencil.cu", "write to the read-only x", nullptr},

    {Bug::kShuffleInBranch, run_row_sums, "warps.cu", "deadlock: .* wait for its warp", "same"},
    {Bug::kWritesTwice, run_row_sums, "warps.cu",
     "write of y byte [0-9]+, which block \\([0-9],0,0\\) wrote in this launch", "value"},
    {Bug::kMaskWithoutSelf, run_warps, "warps.cu",
     "a vote with mask 0xffff, which leaves out lane (1[6-9]|2[0-9]|3[01])", "same"},
    {Bug::kShuffleOfAbsentLane, run_warps, "warps.cu",
     "a shuffle with mask 0xff reads lane (8|9|10|11), which takes no part", "same"},
    {Bug::kShuffleWidth, run_warps, "warps.cu", "a shuffle of width 12", "same"},
    {Bug::kShuffleInPartOfWarp, run_warps, "warps.cu", "reads lane [0-9]+, which takes no part",
     "same"},
    {Bug::kVoteAgainstShuffle, run_warps, "warps.cu",
     "warp divergence: a (vote|shuffle) with mask 0xffffffff, but lane [0-9]+ waits in a ", "same"},
    {Bug::kVoteInBranch, run_warps, "warps.cu",
     "deadlock: .*wait for its warp at warps.cu|warp divergence", nullptr},
    {Bug::kMissingSyncwarp, run_warps, "warps.cu", "uninitialised read|race: read of", "value"},
    {Bug::kBarrierNumber, run_warps, "warps.cu", "barrier 16 of 16", "same"},
    {Bug::kBarrierCount, run_warps, "warps.cu", "a barrier of 48 threads, not of whole warps",
     "same"},
    {Bug::kBarrierTooFew, run_warps, "warps.cu", "deadlock: .*wait for a barrier", "same"},
    {Bug::kBarrierOfOthers, run_warps, "warps.cu",
     "race: read of shared memory byte [0-9]+ after an unordered write by thread", "value"},
    {Bug::kManySyncwarps, run_warps, "clocks", "more than a million synchronisations", nullptr},

    {Bug::kNoTensor, run_memory, "memory.cu", "read of 4 bytes in memory of no tensor",
     "access to memory that is not mapped"},
    {Bug::kNullPointer, run_memory, "memory.cu", "read of 4 bytes in memory of no tensor",
     "access to memory that is not mapped"},
    {Bug::kLostIncrement, run_memory, "memory.cu",
     "read of count byte 8, which block \\([0-9],0,0\\) wrote", nullptr},
    {Bug::kAtomicAndStore, run_memory, "memory.cu",
     "atomic of count byte 8, which block \\(0,0,0\\) wrote", nullptr},
    {Bug::kAtomicAndLoad, run_memory, "memory.cu",
     "read of count byte 8, which block \\(1,0,0\\)'s atomics wrote", nullptr},
    {Bug::kAtomicOnInput, run_memory, "memory.cu", "atomic to the read-only x", nullptr},
    {Bug::kSharedAtomicRead, run_memory, "memory.cu",
     "race: read of shared memory byte 0 after an unordered atomic by thread", "value"},
    {Bug::kMisalignedAtomic, run_memory, "memory.cu",
     "atomic at an address that is no multiple of 4", "same"},
    {Bug::kSameHalf, run_memory, "memory.cu", "write of y byte 2, which block \\(0,0,0\\) wrote",
     "value"},
    {Bug::kSameByte, run_memory, "memory.cu",
     "write of count byte 9, which block \\(0,0,0\\) wrote", nullptr},
    {Bug::kSameWord, run_memory, "memory.cu",
     "write of count byte 8, which block \\(0,0,0\\) wrote", nullptr},
    {Bug::kHalfOfWord, run_memory, "memory.cu", "write of count byte 10, which block \\(0,0,0\\)",
     nullptr},
    {Bug::kReadsOther, run_memory, "memory.cu", "read of y byte (0|396), which block \\(0,0,0\\)",
     "value"},
    {Bug::kSharedBytes, run_memory, "memory.cu", "uninitialised read|race: read of", nullptr},
    {Bug::kMisalignedVector, run_memory, "memory.cu",
     "misaligned access as 'const struct float4': an address of 8 modulo 16", nullptr},
    {Bug::kStackFull, run_memory, "memory.cu", "stack of 65536 bytes is full", "same"},
    {Bug::kLocalIndex, run_memory, "memory.cu", "index 100 of an array of type 'float \\[4\\]'",
     nullptr},
    {Bug::kIntOverflow, run_memory, "memory.cu", "overflow of 'int': 6553600 \\* 1600", nullptr},
    {Bug::kDivisionByZero, run_memory, "memory.cu", "overflow of 'int': 100 / 0",
     "division by zero"},
    {Bug::kShift, run_memory, "memory.cu", "shift of 1 by 100", nullptr},

    {Bug::kCopyNoWait, run_copies, "copies.cu", "has not been waited for", "value"},
    {Bug::kCopyNoCommit, run_copies, "copies.cu", "has not been waited for", "value"},
    {Bug::kCopyOverwritten, run_copies, "copies.cu",
     "write of shared memory byte [0-9]+: an asynchronous copy into it has not", "value"},
    {Bug::kCopyMisaligned, run_copies, "copies.cu", "misaligned cp.async of 8 bytes", "same"},
    {Bug::kCopyTooMuch, run_copies, "copies.cu", "cp.async of 8 bytes that reads 12", "same"},
    {Bug::kCopyOutOfBounds, run_copies, "copies.cu",
     "read of 16 bytes at byte 2048 of x, which has 2048", "access to memory that is not mapped"},
    {Bug::kCopySharedOutOfBounds, run_copies, "copies.cu",
     "cp.async of 16 bytes at shared memory byte 1024, beyond its 1024 bytes", "same"},
    {Bug::kCopyNoBarrier, run_copies, "copies.cu", "uninitialised read|race: read of|has not been",
     "value"},
    {Bug::kRowMisaligned, run_copies, "copies.cu", "misaligned row of ldmatrix", "same"},
    {Bug::kRowOutOfBounds, run_copies, "copies.cu",
     "ldmatrix of 16 bytes at shared memory byte 1024, beyond its 1024 bytes", "same"},
    {Bug::kRowUninitialised, run_copies, "copies.cu", "uninitialised read of shared memory byte 1",
     "value"},

    {Bug::kMissingWait, run_gemm, "gemm.cu", "has not been waited for", "value"},
    {Bug::kMissingSecondBarrier, run_gemm, "gemm.cu",
     "race: write of shared memory byte [0-9]+ after an unordered read", "value"},
    {Bug::kMmaInBranch, run_gemm, "gemm.cu", "warp divergence|deadlock", nullptr},

    {Bug::kWrongBytes, run_conv_wgmma, "hopper.cu", "deadlock: .* wait for an mbarrier", "same"},
    {Bug::kNoFullWait, run_conv_wgmma, "hopper.cu", "uninitialised read|has not been waited for",
     "value"},
    {Bug::kReleaseBeforeWait, run_conv_wgmma, "hopper.cu",
     "race: write of .* after an unordered read by a wgmma in flight", nullptr},
    {Bug::kNoWgmmaWait, run_conv_wgmma, "hopper.cu",
     "race: write of .* after an unordered read by a wgmma in flight", "value"},
    {Bug::kNoProxyFence, run_conv_wgmma, "hopper.cu", "without fence.proxy.async after the write",
     nullptr},
    {Bug::kNoInit, run_conv_wgmma, "hopper.cu", "uninitialised read", "is not initialised"},
    {Bug::kInitNoBarrier, run_conv_wgmma, "hopper.cu", "race: |uninitialised read", nullptr},
};

// file:line of the comment that names the mistake, or file alone where none does.
std::string marked_place(const char* file, const char* name) {
  std::ifstream source(std::string("tests/simt/") + file);
  const std::regex mark(std::string("//.*\\b") + name + "\\b");
  std::string line;
  for (int number = 1; std::getline(source, line); ++number)
    if (std::regex_search(line, mark)) return std::string(file) + ":" + std::to_string(number);
  return file;
}

void test_bug(const Planted& p) {
  const char* name = kNames[size_t(p.bug)];
  const char* wanted = simt::is_checked() ? p.checked : p.fast;
  if (wanted && !strcmp(wanted, "same")) wanted = p.checked;
  const bool by_value = wanted && !strcmp(wanted, "value");
  const uint64_t seeds = wanted ? 16 : 1;
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    simt::options().seed = seed;
    try {
      p.run(p.bug);
      continue;
    } catch (const WrongValue& e) {
      printf("  %-20s wrong value, seed %d\n", name, int(seed));
      check(!wanted || by_value, std::string(name) + ": wrong value, but no report");
    } catch (const simt::Error& e) {
      printf("  %-20s %s\n", name, e.what());
      if (!wanted || by_value) return check(true, name);
      const std::regex message(wanted);
      check(std::regex_search(e.what(), message), std::string(name) + " is not told as " + wanted);
      const std::string place = marked_place(p.file, name);
      const std::regex place_end(place + "\\b");
      check(std::regex_search(e.what(), place_end), std::string(name) + " is not told at " + place);
    }
    return;
  }
  printf("  %-20s missed\n", name);
  check(!wanted, std::string(name) + " is missed");
}

}  // namespace

void test_bugs() {
  printf("planted mistakes:\n");
  const int workers = std::exchange(simt::options().workers, 1);
  for (const Planted& p : kPlanted) test_bug(p);
  simt::options().workers = workers;
  simt::options().seed = 0;
}
