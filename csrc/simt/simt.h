// SPDX-License-Identifier: BSD-3-Clause
// Runs CUDA kernels on the CPU, thread by thread, to find their mistakes. This header is what a
// kernel file sees under g++ in place of nvcc's built-in things, and what a test uses to run it.
// README.md beside it says what is caught, and how to use it for kernels of one's own.
//
// The emulator is never compiled with a sanitizer. Kernel files are compiled plainly ("fast") or
// with -fsanitize=thread ("checked"): the compiler then calls __tsan_readN or __tsan_writeN before
// every access to memory, and hooks.cpp, not libtsan, receives those calls.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace simt {

using Where = std::source_location;

// What the emulator found wrong: what, where (file:line), block, thread, seed.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Read at the start of a launch.
struct Options {
  uint64_t seed = 0;           // 0: threads in the order of their index; another: shuffled by it
  int workers = 2;             // blocks that run at once; one a machine thread
  size_t stack = 64 * 1024;    // bytes of each CUDA thread's stack
  size_t smem = 227 * 1024;    // the most dynamic shared memory that a launch may ask for
  bool count_sectors = false;  // fill Stats::sectors_loaded and sectors_stored; one worker then
};
Options& options();

// Sums over launches. Assign Stats() to begin anew; only while no launch runs.
struct Stats {
  uint64_t launches = 0, threads = 0;
  uint64_t multiply_adds = 0;  // calls of cnnkern::cuda::fma
  // Global memory, as threads and cp.async ask for it; counted by the checked build alone.
  uint64_t bytes_loaded = 0, bytes_stored = 0;
  uint64_t widest_load = 0, widest_store = 0;  // bytes of the widest access
  // Distinct 32-byte sectors that a block touches, summed over blocks.
  uint64_t sectors_loaded = 0, sectors_stored = 0;
  uint64_t tensor_multiply_adds = 0;  // those of mma.sync and wgmma
  // Passes over shared memory by ldmatrix, and how many more there were for bank conflicts.
  uint64_t ldmatrix = 0, ldmatrix_conflicts = 0;
};
Stats& stats();

// Whether some kernel file of this program was compiled with -fsanitize=thread.
bool is_checked();

// Names memory as one tensor in global memory for as long as this lives. In the checked build a
// kernel may touch no other. A null pointer or no bytes: nothing is named.
class Global {
 public:
  Global(const void* memory, size_t bytes, const char* name, bool writable = true);
  ~Global();
  Global(const Global&) = delete;
  Global& operator=(const Global&) = delete;

 private:
  const void* memory_;
};

// Memory, every byte of it set to fill, alone in 4 GiB of address space on either side: no index of
// 32 bits reaches another tensor by mistake, and what lies after its end is not mapped. fill 0xff
// is NaN in every floating-point type.
void* slot_alloc(size_t bytes, int fill = 0);
void slot_free(void* memory, size_t bytes);

void run_grid(dim3 grid, dim3 block, size_t smem_bytes, void (*body)(const void*), const void* call,
              size_t call_bytes);

// Runs the grid to its end. Throws Error; what the kernel wrote until then stays written.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t smem_bytes,
            Arguments&&... arguments) {
  using Values = std::tuple<Parameters...>;
  static_assert(sizeof(Values) <= 4096, "kernel parameters have at most 4096 bytes");
  struct Call {
    void (*kernel)(Parameters...);
    Values values;
  };
  const Call call{kernel, Values(std::forward<Arguments>(arguments)...)};
  run_grid(
      grid, block, smem_bytes,
      [](const void* c) {
        std::apply(static_cast<const Call*>(c)->kernel, static_cast<const Call*>(c)->values);
      },
      &call, sizeof call);
}

}  // namespace simt

#include "builtins.h"
