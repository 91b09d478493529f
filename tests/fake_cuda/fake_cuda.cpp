// SPDX-License-Identifier: BSD-3-Clause
// Stands in for the CUDA backend of a torch that has none: its tensors lie in host memory, there is
// one device, and whoever asks the driver is told that there is none. So the operators' checks, the
// dispatch and every error run without a GPU, up to the first question to the driver.
#include <ATen/ATen.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

namespace {

using c10::Device, c10::Stream;

struct FakeCuda final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = c10::DeviceType::CUDA;
  c10::DeviceType type() const override { return static_type; }
  Device getDevice() const override { return {static_type, 0}; }
  Device exchangeDevice(Device) const override { return getDevice(); }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  Stream getStream(Device d) const override { return Stream(Stream::UNSAFE, d, 0); }
  Stream exchangeStream(Stream s) const override { return s; }
  void* getStreamNativeHandle(const Stream) const override { return nullptr; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(CUDA, FakeCuda)

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type,
                 std::optional<at::Layout>, std::optional<Device>, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  const auto host =
      at::empty(size, at::TensorOptions()
                          .dtype(type.value_or(at::kFloat))
                          .memory_format(format.value_or(at::MemoryFormat::Contiguous)));
  const Device device(at::kCUDA, 0);
  return at::for_blob(host.data_ptr(), size)
      .strides(host.strides())
      .deleter([host](void*) {})
      .target_device(device)
      .options(host.options().device(device))
      .make_tensor();
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, m) { m.impl("empty.memory_format", empty); }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("empty", [](std::vector<int64_t> size, at::ScalarType type) {
    return at::empty(size, at::TensorOptions().device(at::kCUDA, 0).dtype(type));
  });
}
