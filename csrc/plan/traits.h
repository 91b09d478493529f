// SPDX-License-Identifier: BSD-3-Clause
// What a plan knows about a device. Nominal numbers, not measurements: a problem has the same plan
// on every machine of a kind, and predicted times compare algorithms rather than machines.
#pragma once
#include <cstdint>
#include <string>

#include "../problem/types.h"

namespace cnnkern {

enum class DeviceKind : uint8_t { cpu };

struct DeviceTraits {
  DeviceKind kind;
  std::string isa;    // avx2
  int64_t cores;      // threads that work on one call
  int64_t lanes;      // float32 values in a vector
  int64_t fma_units;  // vector multiply-adds that begin in one cycle of a core
  double clock_ghz;   // under full load
  double copy_gb_s;   // bytes read plus bytes written, by all cores, past the caches
  double call_us;     // from the operator to its first task
};

// This machine, with the instruction set that runs.
const DeviceTraits& cpu_traits();
DeviceTraits cpu_traits(int64_t threads);

// Multiply-adds count twice. 16-bit types are computed in float32.
double peak_flops_per_us(const DeviceTraits&, DataType);

}  // namespace cnnkern
