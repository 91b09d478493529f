// SPDX-License-Identifier: BSD-3-Clause
// Convolution, bias, ReLU and max pool by one kernel on tensor cores; what lies between them stays
// in shared memory. The same bits as conv_implicit_gemm_forward and max_pool one after the other.
#pragma once
#include "conv_implicit_gemm_cut.h"
#include "conv_implicit_gemm_pool_tiles.h"
#include "tensors.h"

namespace cnnkern::cuda {

// The pool's input is the convolution's result; tiles are tile_implicit_pool's, not refused. The
// workspace is the one of conv_implicit_gemm_forward that is not split. bias (K values) may be
// null.
void conv_implicit_gemm_pool(const ConvProblem&, const PoolProblem&, const ImplicitPoolTiles& tiles,
                             MmaTileSize, const void* x, const WeightView& w, const void* bias,
                             void* y, void* workspace, Stream);

}  // namespace cnnkern::cuda
