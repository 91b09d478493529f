// SPDX-License-Identifier: BSD-3-Clause
// The current stream and the traits of a tensor's GPU, without torch's CUDA headers: one source
// serves a torch for CPUs and one for GPUs.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <string>

#include "../cuda/launch_error.h"
#include "../cuda/tensors.h"
#include "../plan/traits.h"
#include "../problem/error.h"

namespace cnnkern::ops {

// The stream on which torch works now, on the tensor's device.
cuda::Stream current_stream(const at::Tensor&);

// Remembered by device. Raises where there is no driver or the GPU is older than every instance.
const DeviceTraits& traits_of(const at::Tensor&);
const DeviceTraits& traits_of_gpu(int64_t index);

#if CNNKERN_EMULATED
struct DeviceGuard {
  explicit DeviceGuard(const at::Tensor&) {}
};
#else
struct DeviceGuard {
  explicit DeviceGuard(const at::Tensor& t) : guard(t.device()) {}
  c10::DeviceGuard guard;
};
#endif

// Runs a launcher; what it refuses becomes torch's RuntimeError.
template <class F>
void launch(const char* op, const F& launcher) {
  try {
    launcher();
  } catch (const cuda::LaunchError& error) {
    TORCH_CHECK(false, op, ": CUDA refused the launch: ", error.what());
  } catch (const Error& error) {
    TORCH_CHECK(false, error.what());
  }
}

}  // namespace cnnkern::ops
