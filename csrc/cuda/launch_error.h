// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include <stdexcept>

namespace cnnkern::cuda {

// A launch that the device or the driver refused. Nothing was written.
struct LaunchError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace cnnkern::cuda
