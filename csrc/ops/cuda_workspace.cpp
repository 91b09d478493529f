// SPDX-License-Identifier: BSD-3-Clause
#include "cuda_workspace.h"

#if CNNKERN_CUDA || CNNKERN_EMULATED
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <string>

#include "../plan/plan.h"
#include "../problem/names.h"
#include "cuda_device.h"

namespace cnnkern::ops {

#if CNNKERN_EMULATED
int64_t& emulated_memory() {
  static int64_t bytes = INT64_MAX;
  return bytes;
}
#endif

namespace {

// The algorithm that needs the least, in words; empty where that is the one that failed.
std::string advice(const ConvProblem& problem, Direction direction, Algorithm chosen,
                   const at::Tensor& like) {
  const Plan failed = plan(problem, direction, traits_of(like), name_of(chosen));
  std::string name;
  int64_t least = failed.workspace_bytes;
  for (const Refusal& other : failed.refused) {
    try {
      const Plan instead = plan(problem, direction, traits_of(like), other.algorithm);
      if (instead.workspace_bytes >= least) continue;
      least = instead.workspace_bytes;
      name = other.algorithm;
    } catch (const Error&) {  // it does not serve
    }
  }
  if (name.empty()) return "";
  return "; algorithm '" + name + "' needs " + (least ? std::to_string(least) + " bytes" : "none");
}

}  // namespace

at::Tensor workspace(const char* op, const ConvProblem& problem, Direction direction,
                     Algorithm chosen, int64_t bytes, const at::Tensor& like) {
  try {
#if CNNKERN_EMULATED
    if (bytes > emulated_memory())
      C10_THROW_ERROR(OutOfMemoryError, "more than the emulated device has left");
#endif
    return at::empty({bytes}, like.options().dtype(at::kByte));
  } catch (const c10::OutOfMemoryError&) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, op, ": no memory on ", like.device(),
                     " for the workspace of ", bytes, " bytes of algorithm '", name_of(chosen), "'",
                     advice(problem, direction, chosen, like));
  }
}

}  // namespace cnnkern::ops
#endif
