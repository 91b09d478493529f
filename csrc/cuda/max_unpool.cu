// SPDX-License-Identifier: BSD-3-Clause
// y[index[i]] = x[i], where the largest i wins. Two passes over as many images as the workspace
// holds: each input element claims its place with its own number, the largest claim stays (a
// maximum of integers, so in whatever order they come); then each output element takes what won it.
// A thread an element, several after another. Bytes of one output and one input element of b bytes:
// 8 + b read and 4 claimed; 4 read, b written. Values are copied, so only their size matters.
#include <algorithm>
#include <type_traits>

#include "element.h"
#include "grid.h"
#include "index.h"
#include "launch.h"
#include "max_unpool.h"
#include "wide.h"

namespace cnnkern::cuda {

namespace {

constexpr int kThreads = 256, kElements = 8;  // a block's, and each thread's

// A claim: one more than the position in the input's plane; 0 where there is none.
template <class Index>
using Claim = std::conditional_t<sizeof(Index) == 4, unsigned, unsigned long long>;

template <class Index>
struct Planes {
  Divisor<Index> block, input, output;
  Index inputs, outputs;  // elements of all images

  explicit Planes(const UnpoolProblem& g)
      : block(g.block),
        input(g.input),
        output(g.output),
        inputs(static_cast<Index>(g.images * g.block * g.input)),
        outputs(static_cast<Index>(g.images * g.block * g.output)) {}

  // Where the value of input element i goes; -1: nowhere.
  __device__ Index place(Index i, int64_t index, Index& position) const {
    Index c = i;
    position = split(c, block);
    const Index image = split(position, input);
    if (index < 0 || index >= int64_t(output.d)) return -1;
    return (image * output.d + Index(index)) * block.d + c;
  }
  // Where the input element stands that is at this position of the plane of output element o.
  __device__ Index source(Index o, Index position) const {
    Index c = o, at = split(c, block);
    const Index image = split(at, output);
    return (image * input.d + position) * block.d + c;
  }
};

template <class Index, class F>
__device__ void for_each_element(Index count, const F& body) {
  const Index begin = Index(blockIdx.x) * (kThreads * kElements) + Index(threadIdx.x);
#pragma unroll 1
  for (int k = 0; k < kElements; ++k) {
    const Index i = begin + k * kThreads;
    if (i >= count) return;
    body(i);
  }
}

template <class Index>
__global__ void __launch_bounds__(kThreads)
    max_unpool_claim_kernel(Planes<Index> g, const int64_t* indices, Claim<Index>* claims) {
  for_each_element(g.inputs, [&](Index i) {
    Index position;
    const Index to = g.place(i, indices[i], position);
    if (to >= 0) atomicMax(claims + to, Claim<Index>(position) + 1);
  });
}

// Leaves claims of 0 behind where another pass follows.
template <class Bits, class Index>
__global__ void __launch_bounds__(kThreads)
    max_unpool_take_kernel(Planes<Index> g, const Bits* x, Claim<Index>* claims, bool reset,
                           Bits* y) {
  for_each_element(g.outputs, [&](Index o) {
    const Claim<Index> claim = claims[o];
    y[o] = claim == 0 ? Bits(0) : x[g.source(o, Index(claim - 1))];
    if (reset && claim != 0) claims[o] = 0;
  });
}

template <class Bits, class Index>
__global__ void __launch_bounds__(kThreads)
    max_unpool_grad_kernel(Planes<Index> g, const Bits* dy, const int64_t* indices, Bits* dx) {
  for_each_element(g.inputs, [&](Index i) {
    Index position;
    const Index from = g.place(i, indices[i], position);
    dx[i] = from < 0 ? Bits(0) : dy[from];
  });
}

// Whether offsets in so many images fit 32 bits.
bool narrow(const UnpoolProblem& g, int64_t images) {
  return fits_int32({images * g.block * g.input, images * g.block * g.output});
}

struct Pass {
  int64_t images;  // at once
  int64_t claim;   // bytes of one
};
// A claim has 32 bits where offsets within one image do: then one pass takes no more images than
// keep it so.
Pass pass_of(const UnpoolProblem& g) {
  const int64_t claim = narrow(g, 1) ? 4 : 8, plane = g.block * g.output;
  int64_t images =
      std::min(g.images, std::max<int64_t>(max_unpool_most_bytes() / (plane * claim), 1));
  while (claim == 4 && !narrow(g, images)) images = images / 2;
  return {images, claim};
}

unsigned blocks_of(const UnpoolProblem& g, int64_t elements) {
  return unsigned(checked_grid(g.op, ceil_div(elements, kThreads * kElements)));
}

template <class Bits>
void unpool(const UnpoolProblem& problem, const void* x, const int64_t* indices, void* y,
            void* workspace, Stream stream) {
  const Pass pass = pass_of(problem);
  const int64_t input = problem.block * problem.input, output = problem.block * problem.output;
  with_index(pass.claim == 4, [&](auto index) {
    using Index = decltype(index);
    auto* const claims = static_cast<Claim<Index>*>(workspace);
    for (int64_t first = 0; first < problem.images; first += pass.images) {
      UnpoolProblem part = problem;
      part.images = std::min(pass.images, problem.images - first);
      const bool last = first + part.images == problem.images;
      launch(max_unpool_claim_kernel<Index>, dim3(blocks_of(part, part.images * input)),
             dim3(kThreads), 0, stream, Planes<Index>(part), indices + first * input, claims);
      launch(max_unpool_take_kernel<Bits, Index>, dim3(blocks_of(part, part.images * output)),
             dim3(kThreads), 0, stream, Planes<Index>(part),
             static_cast<const Bits*>(x) + first * input, claims, !last,
             static_cast<Bits*>(y) + first * output);
    }
  });
}

template <class Bits>
void gather(const UnpoolProblem& problem, const void* dy, const int64_t* indices, void* dx,
            Stream stream) {
  with_index(narrow(problem, problem.images), [&](auto index) {
    using Index = decltype(index);
    const int64_t elements = problem.images * problem.block * problem.input;
    launch(max_unpool_grad_kernel<Bits, Index>, dim3(blocks_of(problem, elements)), dim3(kThreads),
           0, stream, Planes<Index>(problem), static_cast<const Bits*>(dy), indices,
           static_cast<Bits*>(dx));
  });
}

}  // namespace

int64_t& max_unpool_most_bytes() {
  static int64_t bytes = int64_t{32} << 20;  // the second-level cache of a large GPU holds them
  return bytes;
}

int64_t max_unpool_workspace(const UnpoolProblem& problem) {
  const Pass pass = pass_of(problem);
  return pass.images * problem.block * problem.output * pass.claim;
}

void max_unpool(const UnpoolProblem& problem, const void* x, const int64_t* indices, void* y,
                void* workspace, Stream stream) {
  switch (size_of(problem.dtype)) {
    case 2:
      return unpool<uint16_t>(problem, x, indices, y, workspace, stream);
    case 4:
      return unpool<uint32_t>(problem, x, indices, y, workspace, stream);
    default:
      return unpool<uint64_t>(problem, x, indices, y, workspace, stream);
  }
}

void max_unpool_grad(const UnpoolProblem& problem, const void* dy, const int64_t* indices, void* dx,
                     Stream stream) {
  switch (size_of(problem.dtype)) {
    case 2:
      return gather<uint16_t>(problem, dy, indices, dx, stream);
    case 4:
      return gather<uint32_t>(problem, dy, indices, dx, stream);
    default:
      return gather<uint64_t>(problem, dy, indices, dx, stream);
  }
}

}  // namespace cnnkern::cuda
