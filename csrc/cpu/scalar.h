// SPDX-License-Identifier: BSD-3-Clause
// Storage types that C++17 lacks, as their bits. Kernels convert them to float to compute.
#pragma once
#include <cstdint>

namespace cnnkern::cpu {

struct half {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

// What sums of a storage type are kept in.
template <class T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

}  // namespace cnnkern::cpu
