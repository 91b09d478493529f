// SPDX-License-Identifier: BSD-3-Clause
// What a plan knows about a device. Nominal numbers, not measurements: a problem has the same plan
// on every machine of a kind, and predicted times compare algorithms rather than machines.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "../problem/types.h"

namespace cnnkern {

enum class DeviceKind : uint8_t { cpu, cuda };

// What only a CUDA device has. An SM is a streaming multiprocessor.
struct CudaTraits {
  int64_t major, minor;      // compute capability
  double launch_us;          // each kernel after a call's first
  double matrix_tflops;      // of the tensor cores: dense products of 16-bit types, sums in float32
  double matrix_fp64_share;  // what a float64 product reaches of the float32 multiply-add rate
  int64_t l2_bytes, sm_shared_bytes, block_shared_bytes, memory_bytes;
};

struct DeviceTraits {
  DeviceKind kind;
  std::string name;   // avx2, H200
  int64_t cores;      // threads that work on one call; SMs
  int64_t lanes;      // float32 values in a vector; multiply-adds that begin in a cycle of an SM
  int64_t fma_units;  // vector multiply-adds that begin in one cycle of a core
  double fp64_share;  // of the float32 multiply-add rate
  double clock_ghz;   // under full load
  double copy_gb_s;   // bytes read plus bytes written, by all cores, past the caches
  double call_us;     // from the operator to its first task or kernel
  CudaTraits cuda{};
};

// This machine's processor, with the instruction set that runs.
const DeviceTraits& cpu_traits();
DeviceTraits cpu_traits(int64_t threads);

// Letters and digits in lower case: "RTX 4090", "rtx-4090" and "rtx4090" are one device.
std::string plain_name(const std::string& device);

// Of a device that has a name here, or of an instruction set: nothing where it is another one.
std::optional<DeviceKind> kind_of_device(const std::string& name);

// Multiply-adds count twice. 16-bit types are computed in float32.
double peak_flops_per_us(const DeviceTraits&, DataType);

}  // namespace cnnkern
