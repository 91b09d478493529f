// SPDX-License-Identifier: BSD-3-Clause
#include "cuda_traits.h"

#include <algorithm>
#include <array>

#include "../problem/error.h"
#include "../problem/text_words.h"

namespace cnnkern {

namespace {

// A streaming copy reaches so much of the memory's nominal bandwidth.
constexpr double kCopyShare = 0.9;
// Through torch's dispatcher and the driver to a kernel that runs, and to one more behind it.
constexpr double kCallUs = 6, kLaunchUs = 4;
// For what a report leaves out.
constexpr double kClockGhz = 1.5, kMemoryGbS = 300;

// Multiply-adds that an SM begins in a cycle (CUDA C++ Programming Guide, "Arithmetic
// Instructions", and the architectures' white papers). A capability that is not here has the
// numbers of the last one before it.
struct Capability {
  int64_t major, minor;
  int64_t lanes;             // float32
  double fp64_share;         // of them
  int64_t matrix_lanes;      // dense 16-bit products with float32 sums
  double matrix_fp64_share;  // of the float32 lanes
  int64_t sm_shared_bytes, block_shared_bytes;
};

constexpr double kHalf = 1.0 / 2, kFew = 1.0 / 64;
constexpr std::array<Capability, 6> kCapabilities{{
    {8, 0, 64, kHalf, 1024, 1, 164 << 10, 163 << 10},
    {8, 6, 128, kFew, 512, kFew, 100 << 10, 99 << 10},
    {8, 9, 128, kFew, 512, kFew, 100 << 10, 99 << 10},
    {9, 0, 128, kHalf, 2048, 1, 228 << 10, 227 << 10},
    {10, 0, 128, kHalf, 4096, kHalf, 228 << 10, 227 << 10},
    {12, 0, 128, kFew, 512, kFew, 100 << 10, 99 << 10},
}};

// Data sheets: "NVIDIA H200 Tensor Core GPU" and "NVIDIA H100 Tensor Core GPU" (SXM columns),
// "NVIDIA A100 Tensor Core GPU" (80GB SXM), "NVIDIA L4 Tensor Core GPU", "NVIDIA Ada GPU
// Architecture" (GeForce RTX 4090). Clocks are boost clocks; tensor rates are without sparsity.
struct Device {
  const char* name;
  const char* reported;
  int64_t major, minor, sms;
  double clock_ghz, memory_gb_s, matrix_tflops;
  int64_t l2_mib, memory_gib;
};

constexpr std::array<Device, 5> kDevices{{
    {"H200", "NVIDIA H200", 9, 0, 132, 1.98, 4800, 989, 50, 141},
    {"H100", "NVIDIA H100 80GB HBM3", 9, 0, 132, 1.98, 3350, 989, 50, 80},
    {"A100", "NVIDIA A100-SXM4-80GB", 8, 0, 108, 1.41, 2039, 312, 40, 80},
    {"L4", "NVIDIA L4", 8, 9, 58, 2.04, 300, 121, 48, 24},
    {"RTX 4090", "NVIDIA GeForce RTX 4090", 8, 9, 128, 2.52, 1008, 165, 72, 24},
}};

const Capability& capability_of(int64_t major, int64_t minor) {
  const Capability* last = &kCapabilities.front();
  for (const Capability& row : kCapabilities) {
    if (row.major < major || (row.major == major && row.minor <= minor)) last = &row;
  }
  return *last;
}

DeviceTraits traits_of(const std::string& name, const Capability& of, int64_t sms, double clock_ghz,
                       double memory_gb_s, const CudaTraits& cuda) {
  return {DeviceKind::cuda,         name,    sms, of.lanes, 1, of.fp64_share, clock_ghz,
          kCopyShare * memory_gb_s, kCallUs, cuda};
}

DeviceTraits traits_of(const Device& d) {
  const Capability& of = capability_of(d.major, d.minor);
  return traits_of(d.name, of, d.sms, d.clock_ghz, d.memory_gb_s,
                   {d.major, d.minor, kLaunchUs, d.matrix_tflops, of.matrix_fp64_share,
                    d.l2_mib << 20, of.sm_shared_bytes, of.block_shared_bytes, d.memory_gib << 30});
}

const std::array<DeviceTraits, kDevices.size()>& named_devices() {
  // Never destroyed: threads may outlive static objects.
  static const auto& all = *[] {
    auto* devices = new std::array<DeviceTraits, kDevices.size()>;
    std::transform(kDevices.begin(), kDevices.end(), devices->begin(),
                   [](const Device& device) { return traits_of(device); });
    return devices;
  }();
  return all;
}

int64_t reported_or(int64_t value, int64_t otherwise) { return value > 0 ? value : otherwise; }

}  // namespace

DeviceTraits cuda_traits(const DeviceReport& r) {
  constexpr int64_t kLeastMajor = 8;  // of the machine code that setup.py asks for
  if (r.major < kLeastMajor) {
    throw Error("cnnkern: expected a GPU of compute capability " + std::to_string(kLeastMajor) +
                ".0 or newer, for which the kernels are built, got " + r.name +
                " of compute capability " + std::to_string(r.major) + "." +
                std::to_string(r.minor) + "; keep torch's own layer there");
  }
  for (size_t i = 0; i < kDevices.size(); ++i) {
    // A slice of a device reports fewer multiprocessors.
    if (r.name == kDevices[i].reported && r.sms == kDevices[i].sms) return named_devices()[i];
  }
  const Capability& of = capability_of(r.major, r.minor);
  const int64_t sms = reported_or(r.sms, 1);
  const double clock_ghz = r.clock_khz > 0 ? static_cast<double>(r.clock_khz) * 1e-6 : kClockGhz;
  // Two transfers a cycle of the memory's clock.
  const double reported_gb_s = 2 * static_cast<double>(r.memory_clock_khz) * 1e-6 *
                               static_cast<double>(r.memory_bus_bits) / 8;
  // GeForce parts add products of 16-bit types in float32 at half the rate.
  const double halved = r.name.find("GeForce") == std::string::npos ? 1 : 0.5;
  const double matrix_tflops =
      2e-3 * static_cast<double>(of.matrix_lanes * sms) * clock_ghz * halved;
  return traits_of(
      r.name, of, sms, clock_ghz, reported_gb_s > 0 ? reported_gb_s : kMemoryGbS,
      {r.major, r.minor, kLaunchUs, matrix_tflops, of.matrix_fp64_share,
       std::max<int64_t>(r.l2_bytes, 0), reported_or(r.sm_shared_bytes, of.sm_shared_bytes),
       reported_or(r.block_shared_bytes, of.block_shared_bytes),
       std::max<int64_t>(r.memory_bytes, 0)});
}

const DeviceTraits& named_device(const std::string& name) {
  for (const DeviceTraits& traits : named_devices()) {
    if (plain_name(traits.name) == plain_name(name)) return traits;
  }
  std::string names = "cpu", hint;
  std::vector<std::string> plain{"cpu"};
  for (size_t i = 0; i < kDevices.size(); ++i) {
    names += (i + 1 < kDevices.size() ? ", " : " or ") + std::string(kDevices[i].name);
    plain.push_back(plain_name(kDevices[i].name));
  }
  const std::string near = nearest(plain_name(name), plain);
  for (size_t i = 0; i < plain.size() && !near.empty(); ++i) {
    if (plain[i] != near) continue;
    hint = std::string("; did you mean '") + (i == 0 ? "cpu" : kDevices[i - 1].name) + "'?";
  }
  throw Error("device: expected " + names + ", got '" + name + "'" + hint);
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Device& device : kDevices) names.push_back(device.name);
  return names;
}

}  // namespace cnnkern
