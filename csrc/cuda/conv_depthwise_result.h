// SPDX-License-Identifier: BSD-3-Clause
// What happens to a sum before it is a result.
#pragma once
#include "element.h"

namespace cnnkern::cuda {

template <class T>
__device__ T depthwise_result(Compute<T> sum, Compute<T> bias, bool relu) {
  sum += bias;
  // As torch: NaN stays.
  if (relu && !(sum > 0 || sum != sum)) sum = 0;
  return narrow<T>(sum);
}

}  // namespace cnnkern::cuda
