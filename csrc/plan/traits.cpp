// SPDX-License-Identifier: BSD-3-Clause
#include "traits.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <thread>

#include "../cpu/isa.h"
#include "cuda_traits.h"

namespace cnnkern {

namespace {

// Server and desktop cores of the last ten years: two vector FMA units, about 3 GHz under load.
constexpr int64_t kFmaUnits = 2;
constexpr double kFp64Share = 0.5;
constexpr double kClockGhz = 3.0;
// One core copies about 12 GB/s from memory; a socket's channels end the scaling near 8 cores.
constexpr double kCopyPerCore = 12.0;
constexpr int64_t kCoresOfMemory = 8;
constexpr double kCallUs = 4.0;

}  // namespace

DeviceTraits cpu_traits(int64_t threads) {
  const std::string isa = cpu::isa_name();
  // Without FMA a multiplication and an addition take the place of two multiply-adds.
  const int64_t units = isa == "baseline" ? kFmaUnits / 2 : kFmaUnits;
  const int64_t copiers = std::min(threads, kCoresOfMemory);
  return {DeviceKind::cpu, isa,        threads,   cpu::isa_lanes(),
          units,           kFp64Share, kClockGhz, kCopyPerCore * static_cast<double>(copiers),
          kCallUs};
}

const DeviceTraits& cpu_traits() {
  static const DeviceTraits traits =
      cpu_traits(std::max<int64_t>(std::thread::hardware_concurrency(), 1));
  return traits;
}

std::string plain_name(const std::string& device) {
  std::string letters;
  for (const char character : device) {
    const auto byte = static_cast<unsigned char>(character);
    if (std::isalnum(byte)) letters += static_cast<char>(std::tolower(byte));
  }
  return letters;
}

std::optional<DeviceKind> kind_of_device(const std::string& name) {
  for (const char* isa : {"baseline", "avx2", "avx512", "avx512_bf16"}) {
    if (plain_name(name) == plain_name(isa)) return DeviceKind::cpu;
  }
  for (const std::string& gpu : device_names()) {
    if (plain_name(name) == plain_name(gpu)) return DeviceKind::cuda;
  }
  return std::nullopt;
}

double peak_flops_per_us(const DeviceTraits& traits, DataType dtype) {
  const double multiply_adds =
      static_cast<double>(traits.cores * traits.fma_units * traits.lanes) * traits.clock_ghz;
  return 2e3 * multiply_adds * (dtype == DataType::float64 ? traits.fp64_share : 1);
}

}  // namespace cnnkern
