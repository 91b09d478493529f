// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory of a call or of a thread's share of it: one allocation, cut into arrays. Small
// ones are kept by the thread for its next call, since malloc would cost as much as a small layer.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cnnkern::cpu {

class Scratch {
 public:
  // Threads keep one buffer a slot: a call's and a task's live at the same time.
  enum Slot { call, task };
  static constexpr int64_t kAlignment = 64;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr int64_t kKept = -1;  // each call's by itself, so that its end is watched
#else
  static constexpr int64_t kKept = int64_t(1) << 20;
#endif

  Scratch(Slot, int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T>
  T* take(int64_t count) {
    char* const at = next_;
    next_ += size_of<T>(count);
    return reinterpret_cast<T*>(at);
  }
  template <class T>
  static constexpr int64_t size_of(int64_t count) {
    return (count * int64_t(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  Slot slot_;
  bool borrowed_;
  char *begin_, *next_;
};

}  // namespace cnnkern::cpu
