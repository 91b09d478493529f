// SPDX-License-Identifier: BSD-3-Clause
// What a launch and the memory around it refuse, and what a launch counts.
#include <csignal>
#include <cstdio>
#include <regex>

#include "check.h"

namespace {

template <class F>
void expect_error(const char* what, const char* message, F f) {
  try {
    f();
  } catch (const simt::Error& e) {
    return check(std::regex_search(e.what(), std::regex(message)),
                 std::string(what) + ": " + e.what());
  }
  check(false, std::string(what) + " is not refused");
}

void launch_nothing(dim3 grid, dim3 block, size_t smem_bytes) {
  simt::run_grid(grid, block, smem_bytes, [](const void*) {}, nullptr, 0);
}

void test_refusals() {
  expect_error("no blocks", "invalid launch: a grid of 0 x 1 x 1",
               [] { launch_nothing(dim3(0), dim3(32), 0); });
  expect_error("a wide grid", "a grid of 4294967295 x 1 x 1 blocks, at most 2147483647",
               [] { launch_nothing(dim3(~0u), dim3(32), 0); });
  expect_error("a high grid", "a grid of 1 x 65536 x 1",
               [] { launch_nothing(dim3(1, 65536), dim3(32), 0); });
  expect_error("a large block", "a block of 64 x 32 x 1 threads",
               [] { launch_nothing(dim3(1), dim3(64, 32), 0); });
  expect_error("a deep block", "a block of 1 x 1 x 65 threads",
               [] { launch_nothing(dim3(1), dim3(1, 1, 65), 0); });
  expect_error("much shared memory", "232449 bytes of shared memory, at most 232448",
               [] { launch_nothing(dim3(1), dim3(32), 232449); });
  Buffer<float> x(4, "x");
  expect_error("memory twice", "x again shares memory with x",
               [&] { simt::Global again(x.data() + 3, 4, "x again"); });
  const simt::Global none(nullptr, 0, "none");
}

void test_slots() {
  auto* p = static_cast<unsigned char*>(simt::slot_alloc(5000, 0xff));
  check(p[0] == 0xff && p[4999] == 0xff, "a slot is filled");
  simt::slot_free(p, 5000);
  p = static_cast<unsigned char*>(simt::slot_alloc(100));
  check(p[0] == 0 && p[99] == 0, "a slot is zero");
  auto* q = static_cast<unsigned char*>(simt::slot_alloc(0));
  check(p != q && std::abs(p - q) >= ptrdiff_t{4} << 30, "slots are far apart");
  simt::slot_free(p, 100);
  simt::slot_free(q, 0);
}

void test_counters() {
  constexpr int kCount = 1024;
  Buffer<float> x(kCount, "x"), y(kCount, "y", true);
  fill(x);
  simt::stats() = {};
  simt::options().count_sectors = true;
  counted(x.data(), y.data(), kCount);
  simt::options().count_sectors = false;
  const simt::Stats& s = simt::stats();
  check(s.launches == 1 && s.threads == kCount / 4, "launches and threads are counted");
  check(s.multiply_adds == kCount, "multiply-adds are counted");
  if (!simt::is_checked()) return;
  check(s.bytes_loaded == 2 * 4 * kCount, "bytes loaded: " + std::to_string(s.bytes_loaded));
  check(s.bytes_stored == 4 * kCount, "bytes stored: " + std::to_string(s.bytes_stored));
  check(s.widest_load == 16 && s.widest_store == 16, "the widest access");
  check(s.sectors_loaded == 4 * kCount / 32 && s.sectors_stored == 4 * kCount / 32,
        "sectors: " + std::to_string(s.sectors_loaded) + ", " + std::to_string(s.sectors_stored));
}

void test_ldmatrix_conflicts() {
  simt::stats() = {};
  run_gemm(Bug::kNone);
  check(simt::stats().ldmatrix > 0 && simt::stats().ldmatrix_conflicts == 0,
        "ldmatrix of swizzled rows has no conflicts");
  check(simt::stats().tensor_multiply_adds == uint64_t{128} * 128 * 96,
        "multiply-adds of mma.sync are counted");
}

// Time begins anew at barriers of the block, long before its bits end.
void test_many_barriers() {
  constexpr int kCount = 600000;
  Buffer<float> y(2, "y", true);
  try {
    many_barriers(y.data(), kCount);
    check(y[0] == kCount && y[1] == kCount, "more than a million barriers");
  } catch (const simt::Error& e) {
    check(false, e.what());
  }
}

void on_signal(int) {}
void test_handlers() {
  struct sigaction mine{}, now{};
  mine.sa_handler = on_signal;
  sigaction(SIGSEGV, &mine, nullptr);
  run_row_sums(Bug::kNone);
  sigaction(SIGSEGV, nullptr, &now);
  check(now.sa_handler == on_signal, "the process has its own handler back");
  mine.sa_handler = SIG_DFL;
  sigaction(SIGSEGV, &mine, nullptr);
}

}  // namespace

void test_launches() {
  test_refusals();
  test_slots();
  test_counters();
  test_ldmatrix_conflicts();
  test_many_barriers();
  test_handlers();
}
