// SPDX-License-Identifier: BSD-3-Clause
// A max unpooling: each value goes to the place in its plane that its index names.
#pragma once
#include "types.h"

namespace cnnkern {

// Planes of a tensor: element i of plane (image, channel) lies at (image * size + i) * block +
// channel. Contiguous planes are images of one channel.
struct UnpoolProblem {
  const char* op;  // what the user called
  int64_t images, block;
  int64_t input, output;  // elements of a plane
  DataType dtype;
};

}  // namespace cnnkern
