// Convolution on the CPU: the three directions, each served by the algorithm that the plan chose.
// Data types are the problem's; float16 and bfloat16 accumulate in float32. Throws std::bad_alloc.
#pragma once
#include "../problem/conv_problem.h"
#include "parallel.h"

namespace cnnkern::cpu {

// What a forward convolution adds to its sums, before the ReLU; each may be null.
struct Addends {
  const void* bias;      // K values, contiguous
  const void* residual;  // with the sizes and strides of y
};

// y of problem.output from x of problem.input.
void conv_forward(const ConvProblem&, Algorithm, const View& x, const View& w, const Addends&,
                  const View& y, const ParallelFor&);
// dx of problem.input from dy of problem.output; bias (C values) and problem.relu serve the
// transposed convolution, whose forward this is.
void conv_input_grad(const ConvProblem&, Algorithm, const View& dy, const View& w, const void* bias,
                     const View& dx, const ParallelFor&);
// dw and, where db is not null, the sums of dy over each channel (K values, contiguous), both of
// the type `result`: the problem's, or float32 for one of 16 bits, which leaves the sums unrounded.
void conv_weight_grad(const ConvProblem&, Algorithm, const View& dy, const View& x, const View& dw,
                      DataType result, void* db, const ParallelFor&);

// What the calls above allocate beside their outputs, at most, on this many threads; independent
// of the batch. The plan prints it.
int64_t conv_workspace_bytes(const ConvProblem&, Direction, Algorithm, int64_t threads);

}  // namespace cnnkern::cpu
