// SPDX-License-Identifier: BSD-3-Clause
// Checks that convolution and pooling share: lengths and signs of their lists, and total sizes.
#pragma once
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "error.h"
#include "sizes.h"

namespace cnnkern::detail {

// Names of the axes in messages, by rank 1 to 3.
inline const char* input_axes(int64_t rank) {
  return rank == 1 ? "(N, C, L)" : rank == 2 ? "(N, C, H, W)" : "(N, C, D, H, W)";
}
inline const char* weight_axes(int64_t rank) {
  return rank == 1   ? "(K, C/groups, R)"
         : rank == 2 ? "(K, C/groups, R, S)"
                     : "(K, C/groups, T, R, S)";
}
inline char axis_name(int64_t rank, int64_t axis) {
  return rank == 1 ? 'L' : "DHW"[3 - rank + axis];
}

inline void check_rank(const char* op, int64_t rank) {
  if (rank < 1 || rank > 3) fail(op, "expected 1 to 3 spatial axes, got ", rank);
}

template <class I>
void check_length(const char* op, const char* name, const std::vector<I>& values, int64_t length) {
  if (static_cast<int64_t>(values.size()) == length) return;
  fail(op, "expected ", name, " of ", length, length == 1 ? " value" : " values", ", got ",
       values.size(), ": ", Tuple{values});
}

template <class I>
void check_least(const char* op, const char* name, const std::vector<I>& values, int64_t least) {
  for (const I& value : values) {
    if (value < I(least)) fail(op, "expected ", name, " >= ", least, ", got ", Tuple{values});
  }
}

// Arithmetic on offsets counts in bytes of at most 8 an element.
template <class I>
void check_count(const char* op, const char* name, const std::vector<I>& shape) {
  if constexpr (std::is_same_v<I, int64_t>) {
    int64_t bytes = 8;
    bool overflow = false;
    for (int64_t size : shape) {
      if (size == 0) return;
      overflow = __builtin_mul_overflow(bytes, size, &bytes) || overflow;
    }
    if (overflow) fail(op, name, " of shape ", Tuple{shape}, " has more bytes than 64 bits count");
  }
}

template <class I>
void check_sizes(const char* op, const char* name, const std::vector<I>& shape) {
  check_least(op, (std::string("every size of ") + name).c_str(), shape, 0);
  check_count(op, name, shape);
}

}  // namespace cnnkern::detail
