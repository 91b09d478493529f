// One pooling: a window of kernel taps slides over each channel by itself. Or windows cut an axis
// of n positions into P parts, as adaptive pools do: [floor(p n / P), ceil((p + 1) n / P)).
#pragma once
#include <array>

#include "types.h"

namespace cnnkern {

enum class PoolKind : uint8_t { max, avg };

struct PoolProblem {
  PoolKind kind;
  int64_t rank;
  int64_t n, c;
  Extent input, kernel, stride, pad_before, pad_after, dilation, output;
  // Axes whose windows are such parts, of different sizes: the kernel is the largest of them,
  // stride and dilation are 1, nothing is padded. Parts of equal sizes slide.
  std::array<bool, 3> uneven;
  DataType dtype;
  Format format;
  bool ceil_mode;  // round output sizes up; a window must begin inside input or left padding
  bool count_include_pad;  // avg: the divisor counts taps in the padding
  int64_t divisor;         // avg: 0, or what every sum is divided by
  bool adaptive;           // what the caller named
};

constexpr bool is_uneven(const PoolProblem& g) { return g.uneven[0] || g.uneven[1] || g.uneven[2]; }

// A window-local argmax is one byte where every tap has a number below 256, else four.
constexpr int64_t taps_of(const PoolProblem& g) { return g.kernel[0] * g.kernel[1] * g.kernel[2]; }
constexpr int64_t argmax_size(const PoolProblem& g) { return taps_of(g) <= 256 ? 1 : 4; }

}  // namespace cnnkern
