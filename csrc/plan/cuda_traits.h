// SPDX-License-Identifier: BSD-3-Clause
// Traits of CUDA devices: of the named ones, from their data sheets, and of what a machine reports.
#pragma once
#include <string>
#include <vector>

#include "traits.h"

namespace cnnkern {

// As the runtime answers cudaGetDeviceProperties and cudaDeviceGetAttribute; 0 where it does not
// know.
struct DeviceReport {
  std::string name;
  int64_t major, minor, sms;
  int64_t clock_khz, memory_clock_khz, memory_bus_bits;
  int64_t l2_bytes, sm_shared_bytes, block_shared_bytes, memory_bytes;
};

// Those of the named device where the whole of one reports itself, else derived from its numbers.
// A GPU older than every kernel is an Error.
DeviceTraits cuda_traits(const DeviceReport&);

// A device that has a name here: "H200", "rtx 4090". It lives as long as the process. Another name
// is an Error that lists them.
const DeviceTraits& named_device(const std::string& name);

std::vector<std::string> device_names();

}  // namespace cnnkern
