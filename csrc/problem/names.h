// SPDX-License-Identifier: BSD-3-Clause
// The words for what types.h numbers.
#pragma once
#include <array>
#include <optional>
#include <string>

#include "types.h"

namespace cnnkern {

constexpr std::array<const char*, 4> kDataTypes{"float32", "float64", "float16", "bfloat16"};
constexpr std::array<const char*, 2> kFormats{"contiguous", "channels_last"};
constexpr std::array<const char*, 3> kDirections{"forward", "input_grad", "weight_grad"};
constexpr std::array<const char*, 5> kAlgorithms{"direct", "depthwise", "im2col", "winograd",
                                                 "implicit_gemm"};

constexpr const char* name_of(DataType x) { return kDataTypes[static_cast<size_t>(x)]; }
constexpr const char* name_of(Format x) { return kFormats[static_cast<size_t>(x)]; }
constexpr const char* name_of(Direction x) { return kDirections[static_cast<size_t>(x)]; }
constexpr const char* name_of(Algorithm x) { return kAlgorithms[static_cast<size_t>(x)]; }

// The value that a word stands for, if any.
template <class Enum, size_t N>
std::optional<Enum> value_of(const std::array<const char*, N>& names, const std::string& word) {
  for (size_t i = 0; i < N; ++i) {
    if (word == names[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace cnnkern
