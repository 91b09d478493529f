// SPDX-License-Identifier: BSD-3-Clause
// Elements of the tensors of a problem. None overflows: problems are checked for that.
#pragma once
#include "../problem/conv_problem.h"
#include "../problem/pool_problem.h"

namespace cnnkern::cuda {

inline int64_t volume(const Extent& e) { return e[0] * e[1] * e[2]; }
inline int64_t input_elements(const ConvProblem& g) { return g.n * g.c * volume(g.input); }
inline int64_t output_elements(const ConvProblem& g) { return g.n * g.k * volume(g.output); }
inline int64_t weight_elements(const ConvProblem& g) {
  return g.k * (g.c / g.groups) * volume(g.kernel);
}
inline int64_t input_elements(const PoolProblem& g) { return g.n * g.c * volume(g.input); }
inline int64_t output_elements(const PoolProblem& g) { return g.n * g.c * volume(g.output); }

}  // namespace cnnkern::cuda
