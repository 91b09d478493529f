#include "csrc/simt/simt.h"

__global__ void mean_kernel(const float* x, float* mean, int n) {
  auto* part = reinterpret_cast<float*>(simt::dynamic_smem());
  float sum = 0;
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) sum += x[i];
  part[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *mean = part[0] / float(n);
}

float mean_of_1_to_100() {
  auto* x = static_cast<float*>(simt::slot_alloc(100 * sizeof(float)));
  auto* mean = static_cast<float*>(simt::slot_alloc(sizeof(float), 0xff));
  for (int i = 0; i < 100; ++i) x[i] = float(i + 1);
  {
    const simt::Global input(x, 100 * sizeof(float), "x", false);
    const simt::Global output(mean, sizeof(float), "mean");
    simt::options().seed = 7;
    simt::launch(mean_kernel, dim3(1), dim3(64), 64 * sizeof(float), x, mean, 100);
  }
  const float result = *mean;
  simt::slot_free(x, 100 * sizeof(float));
  simt::slot_free(mean, sizeof(float));
  return result;
}
