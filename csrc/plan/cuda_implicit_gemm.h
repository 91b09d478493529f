// SPDX-License-Identifier: BSD-3-Clause
// How a device cuts an implicit matrix product.
#pragma once
#include "../cuda/conv_implicit_gemm_cut.h"
#include "traits.h"

namespace cnnkern {

// Of a forward or an input gradient: the cut that is predicted to be fastest.
cuda::ImplicitCut implicit_cut(const ConvProblem&, Direction, const DeviceTraits&);

}  // namespace cnnkern
