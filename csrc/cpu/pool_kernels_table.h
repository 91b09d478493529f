// SPDX-License-Identifier: BSD-3-Clause
// The pooling kernels of one instruction set, and what they are told.
#pragma once
#include <cstdint>

namespace cnnkern::cpu {

struct PoolAxis {
  int64_t input, output, kernel, stride, pad_before, pad_after, dilation;
  // The windows are parts [floor(p n / P), ceil((p + 1) n / P)) of the axis, no two neighbours need
  // have the same size; the kernel is the largest, stride and dilation are 1.
  bool uneven;
};

// Positions hold `block` values side by side: 1 in contiguous tensors, whose images are the n * c
// planes, and c in channels_last, whose images are n.
struct PoolShape {
  int64_t images, block;
  PoolAxis axis[3];
  bool count_padding;  // avg: the divisor counts taps in the padding
  int64_t divisor;     // avg: 0, or what every sum is divided by
};

// Memory for the length of one body of a parallel loop: pieces of a buffer that the thread keeps,
// or of the heap where they are large. Pieces are aligned to 64 bytes.
class PoolScratch {
 public:
  PoolScratch() = default;
  PoolScratch(const PoolScratch&) = delete;
  PoolScratch& operator=(const PoolScratch&) = delete;
  ~PoolScratch();
  void* get(int64_t bytes);  // throws std::bad_alloc

 private:
  struct Piece {
    Piece* next;
  };
  int64_t used_ = 0;
  Piece* heap_ = nullptr;
};

// Each computes tasks [begin, end) and owns what they write. A task is a row of the result: image,
// depth, height. `argmax` elements are bytes in the first of a pair of kernels, int32 in the
// second.
struct PoolKernels {
  using Values = void (*)(const PoolShape&, const void* x, void* y, PoolScratch&, int64_t begin,
                          int64_t end);
  using Argmax = void (*)(const PoolShape&, const void* x, void* y, void* argmax, PoolScratch&,
                          int64_t begin, int64_t end);
  using MaxGrad = void (*)(const PoolShape&, const void* dy, const void* argmax, void* dx,
                           PoolScratch&, int64_t begin, int64_t end);
  // By DataType: float32, float64, float16, bfloat16.
  Values max[4];
  Argmax max_argmax[4][2];
  MaxGrad max_grad[4][2];
  Values avg[4];
  Values avg_grad[4];
};

}  // namespace cnnkern::cpu
