// SPDX-License-Identifier: BSD-3-Clause
// What a convolution finds around its input.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace cnnkern {

enum class Border : uint8_t { zeros, reflect, replicate, circular };

constexpr std::array<const char*, 4> kBorders{"zeros", "reflect", "replicate", "circular"};
constexpr const char* name_of(Border x) { return kBorders[static_cast<size_t>(x)]; }

}  // namespace cnnkern
