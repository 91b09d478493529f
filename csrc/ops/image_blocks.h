// SPDX-License-Identifier: BSD-3-Clause
// Operators that go over their images a few at a time, so that what lies between two kernels is
// small and still in the cache.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

#include "../problem/conv_problem.h"

namespace cnnkern::ops {

using at::Tensor;

// Every call of a convolution packs its filters, which so many outputs of each are worth.
constexpr int64_t kLeastPixels = 1024;

inline int64_t pixels_of(const Extent& size) { return size[0] * size[1] * size[2]; }

// How many images go at a time where each needs `elements` of scratch. It depends on the problem
// alone, so that sums over blocks have the same bits on any number of threads.
inline int64_t images_at_a_time(const ConvProblem& g, int64_t elements, int64_t bytes) {
  const int64_t least = (kLeastPixels - 1) / std::max<int64_t>(1, pixels_of(g.output)) + 1;
  const int64_t image = std::max<int64_t>(1, elements * size_of(g.dtype));
  const int64_t blocks = (g.n - 1) / std::max(least, bytes / image) + 1;
  return (g.n - 1) / blocks + 1;
}

// Calls body(first, count) for one block of images after the other.
template <class Body>
void for_each_block(int64_t images, int64_t at_a_time, const Body& body) {
  for (int64_t first = 0; first < images; first += at_a_time)
    body(first, std::min(at_a_time, images - first));
}

inline std::vector<int64_t> with_images(std::vector<int64_t> shape, int64_t images) {
  shape[0] = images;
  return shape;
}

// A sum over blocks, in their order: float32 for 16-bit types, rounded once.
class BlockSum {
 public:
  BlockSum(const Tensor& result, bool one_block, at::MemoryFormat format) : result_(result) {
    if (one_block || result.numel() == 0) return;
    const bool wide = result.element_size() == 2;
    const auto options = result.options().dtype(wide ? at::kFloat : result.scalar_type());
    part_ = at::empty(result.sizes(), options.memory_format(format));
    total_ = wide ? at::empty(result.sizes(), part_.options().memory_format(format)) : result;
  }
  // Where a block's part goes.
  const Tensor& next() const { return !part_.defined() ? result_ : any_ ? part_ : total_; }
  void added() {
    if (part_.defined() && any_) total_.add_(part_);
    any_ = true;
  }
  void finish() const {
    if (part_.defined() && !total_.is_same(result_)) result_.copy_(total_);
  }

 private:
  Tensor result_, part_, total_;
  bool any_ = false;
};

}  // namespace cnnkern::ops
