// SPDX-License-Identifier: BSD-3-Clause
#include "cuda_device.h"

#include "../plan/cuda_traits.h"

#if CNNKERN_EMULATED

namespace cnnkern::ops {

cuda::Stream current_stream(const at::Tensor&) { return nullptr; }
const DeviceTraits& traits_of(const at::Tensor&) { return named_device("H200"); }

}  // namespace cnnkern::ops

#elif CNNKERN_CUDA
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cuda_runtime_api.h>

#include <array>
#include <atomic>

namespace cnnkern::ops {

namespace {

void check(cudaError_t status, int device) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report it again
  TORCH_CHECK(false, "cnnkern: cannot ask device cuda:", device,
              " for its traits: ", cudaGetErrorString(status));
}

int64_t attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, device), device);
  return value;
}

const DeviceTraits* ask(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), device);
  DeviceReport report{};
  report.name = properties.name;
  report.major = properties.major;
  report.minor = properties.minor;
  report.sms = properties.multiProcessorCount;
  report.clock_khz = attribute(cudaDevAttrClockRate, device);
  report.memory_clock_khz = attribute(cudaDevAttrMemoryClockRate, device);
  report.memory_bus_bits = attribute(cudaDevAttrGlobalMemoryBusWidth, device);
  report.l2_bytes = properties.l2CacheSize;
  report.sm_shared_bytes = static_cast<int64_t>(properties.sharedMemPerMultiprocessor);
  report.block_shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
  report.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  try {
    return new DeviceTraits(cuda_traits(report));  // kept for good
  } catch (const Error& error) {
    TORCH_CHECK_NOT_IMPLEMENTED(false, error.what());
  }
}

}  // namespace

cuda::Stream current_stream(const at::Tensor& like) {
  const c10::impl::VirtualGuardImpl guard(like.device().type());
  return static_cast<cuda::Stream>(guard.getStream(like.device()).native_handle());
}

const DeviceTraits& traits_of(const at::Tensor& like) {
  return traits_of_gpu(like.device().index());
}

const DeviceTraits& traits_of_gpu(int64_t index) {
  constexpr size_t kMost = 64;
  static std::array<std::atomic<const DeviceTraits*>, kMost> known{};
  const auto device = static_cast<size_t>(index);
  TORCH_CHECK(device < kMost, "cnnkern: expected a device index below ", kMost, ", got ", device);
  const DeviceTraits* traits = known[device].load(std::memory_order_acquire);
  if (!traits) {
    traits = ask(static_cast<int>(device));
    known[device].store(traits, std::memory_order_release);
  }
  return *traits;
}

}  // namespace cnnkern::ops

#endif
