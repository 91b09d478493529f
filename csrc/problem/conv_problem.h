// One convolution, whatever its rank: y[n,k,p] = bias[k] + sum over c, r of
// x[n, c, p * stride - pad_before + r * dilation] * w[k, c, r], for each group of channels.
#pragma once
#include "types.h"

namespace cnnkern {

struct ConvProblem {
  int64_t rank;  // 1 to 3: how many of the three axes the caller sees
  int64_t n, c, k, groups;
  Extent input, kernel, stride, pad_before, pad_after, dilation, output;
  DataType dtype;
  Format format;
  bool bias, relu;  // of the result: K values forward, C values for an input gradient (transposed)
  bool transposed;  // the caller's words: conv_transpose, which runs as Direction::input_grad
  bool tf32;        // float32 operands may be rounded to tf32, as torch's switch for cuDNN says
};

}  // namespace cnnkern
