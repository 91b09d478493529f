// SPDX-License-Identifier: BSD-3-Clause
// How a kernel is started, and how it asks for shared memory: the two things that nvcc's build and
// the emulator's do differently.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#include "launch_error.h"
#include "tensors.h"

#ifdef __CUDACC__

// The block's dynamic shared memory, aligned to 1024 bytes.
#define CK_SMEM(name) extern __shared__ __align__(1024) unsigned char name[]

namespace cnnkern::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t smem_bytes, Stream stream,
            Arguments&&... arguments) {
  constexpr size_t kUnasked = 48 * 1024;  // more is granted on request only
  cudaError_t status = cudaSuccess;
  if (smem_bytes > kUnasked) {
    status = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(smem_bytes));
  }
  if (status == cudaSuccess) {
    kernel<<<grid, block, smem_bytes, stream>>>(std::forward<Arguments>(arguments)...);
    status = cudaPeekAtLastError();
  }
  if (status != cudaSuccess) {
    cudaGetLastError();  // so that the next call does not report it again
    throw LaunchError(cudaGetErrorString(status));
  }
}

}  // namespace cnnkern::cuda

#else

#include "../simt/simt.h"

#define CK_SMEM(name) unsigned char* const name = simt::dynamic_smem()

namespace cnnkern::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t smem_bytes, Stream,
            Arguments&&... arguments) {
  simt::launch(kernel, grid, block, smem_bytes, std::forward<Arguments>(arguments)...);
}

}  // namespace cnnkern::cuda

#endif
