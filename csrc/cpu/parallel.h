// What the CPU drivers share with their callers. No torch: the operators pass at::parallel_for, a
// test may pass a plain loop.
#pragma once
#include <array>
#include <cstdint>
#include <functional>

#include "../problem/border.h"

namespace cnnkern::cpu {

// Runs body(begin, end) over disjoint ranges that cover [0, tasks), on any number of threads.
using Body = std::function<void(int64_t begin, int64_t end)>;
using ParallelFor = std::function<void(int64_t tasks, const Body& body)>;

// A tensor of five axes: n, c, depth, height, width (a weight: k, c / groups, depth, height,
// width); strides in elements, of any value for convolution.
struct View {
  void* data;
  std::array<int64_t, 5> stride;
  Border border = Border::zeros;  // of the input of a forward convolution or a weight gradient
};

}  // namespace cnnkern::cpu
