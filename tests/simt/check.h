// SPDX-License-Identifier: BSD-3-Clause
// The smallest test harness that serves: checks are counted, a failed one is told.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "../../csrc/simt/simt.h"
#include "kernels.h"

inline int passed = 0, failed = 0;
inline void check(bool ok, const std::string& what) {
  ++(ok ? passed : failed);
  if (!ok) printf("FAILED: %s\n", what.c_str());
}

// The values of a kernel's result differ from those of its reference.
struct WrongValue : simt::Error {
  WrongValue() : Error("wrong value") {}
};

// One argument of a kernel, named to the emulator for as long as its memory is taken.
template <class T>
struct Buffer {
  struct Slot {
    size_t bytes;
    T* memory;
    Slot(size_t n, int fill)
        : bytes(n * sizeof(T)), memory(static_cast<T*>(simt::slot_alloc(bytes, fill))) {}
    ~Slot() { simt::slot_free(memory, bytes); }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
  };
  Slot slot;
  std::span<T> v;
  simt::Global named;
  Buffer(size_t n, const char* name, bool writable = false)
      : slot(n, writable ? 0xff : 0),
        v(slot.memory, n),
        named(slot.memory, slot.bytes, name, writable) {}
  T* data() const { return v.data(); }
  T& operator[](size_t i) const { return v[i]; }
};

inline float value(size_t i) { return float((i * 2654435761u >> 7) % 17) / 8.f - 1.f; }
template <class T>
void fill(const Buffer<T>& b, size_t salt = 0) {
  for (size_t i = 0; i < b.v.size(); ++i) b.v[i] = T(value(i + salt));
}
inline uint16_t to_bf16(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
inline float from_bf16(uint16_t h) {
  const uint32_t u = uint32_t{h} << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

// correct.cpp: runs the kernel with this mistake, compares with the definition, throws what is
// found.
void run_stencil(Bug bug);
void run_row_sums(Bug bug);
void run_warps(Bug bug);
void run_memory(Bug bug);
void run_copies(Bug bug);
void run_gemm(Bug bug);
void run_conv_wgmma(Bug bug);
void test_correct_kernels();
void test_throughput();
void test_bugs();      // bugs.cpp
void test_launches();  // launches.cpp
void test_models();    // models.cpp
void test_readme();    // example.cpp
