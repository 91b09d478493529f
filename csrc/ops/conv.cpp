// SPDX-License-Identifier: BSD-3-Clause
// The convolutions on the CPU.
#include "cpu_conv.h"

namespace cnnkern::ops {

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) {
  register_conv<CpuConv>(m);
}

}  // namespace cnnkern::ops
