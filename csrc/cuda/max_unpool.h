// SPDX-License-Identifier: BSD-3-Clause
// Max unpooling on CUDA devices. x, indices and dx have one layout, y and dy the same; none is
// empty. An index that names no place of the output's plane is passed over: nobody waits for the
// device to hear of it.
#pragma once
#include "../problem/unpool_problem.h"
#include "tensors.h"

namespace cnnkern::cuda {

// What a workspace should not exceed, unless one image needs more. Tests set it.
int64_t& max_unpool_most_bytes();
// Bytes that max_unpool needs beside its tensors, all of them 0: independent of large batches.
int64_t max_unpool_workspace(const UnpoolProblem&);
// y at each index = x, the last of several in the order of the plane; 0 elsewhere. The same bits in
// every run.
void max_unpool(const UnpoolProblem&, const void* x, const int64_t* indices, void* y,
                void* workspace, Stream);
// dx = dy at each index, 0 where that names no place.
void max_unpool_grad(const UnpoolProblem&, const void* dy, const int64_t* indices, void* dx,
                     Stream);

}  // namespace cnnkern::cuda
