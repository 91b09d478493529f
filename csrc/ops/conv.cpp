// SPDX-License-Identifier: BSD-3-Clause
// The convolutions on the CPU.
#include "conv_add_operators.h"
#include "conv_border_operators.h"
#include "cpu_conv.h"

namespace cnnkern::ops {

TORCH_LIBRARY_IMPL(cnnkern, CPU, m) {
  register_conv<CpuConv>(m);
  register_conv_border<CpuConv>(m);
  m.impl("conv_add", conv_add<CpuConv>);
}

}  // namespace cnnkern::ops
