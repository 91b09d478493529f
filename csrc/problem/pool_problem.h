// One pooling: a window of kernel taps slides over each channel by itself.
#pragma once
#include "types.h"

namespace cnnkern {

enum class PoolKind : uint8_t { max, avg };

struct PoolProblem {
  PoolKind kind;
  int64_t rank;
  int64_t n, c;
  Extent input, kernel, stride, pad_before, pad_after, dilation, output;
  DataType dtype;
  Format format;
  bool ceil_mode;  // round output sizes up; a window must begin inside input or left padding
  bool count_include_pad;  // avg: the divisor counts taps in the padding
  int64_t divisor;         // avg: 0, or what every sum is divided by
};

// A window-local argmax is one byte where every tap has a number below 256, else four.
constexpr int64_t taps_of(const PoolProblem& g) { return g.kernel[0] * g.kernel[1] * g.kernel[2]; }
constexpr int64_t argmax_size(const PoolProblem& g) { return taps_of(g) <= 256 ? 1 : 4; }

}  // namespace cnnkern
