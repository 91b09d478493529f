// SPDX-License-Identifier: BSD-3-Clause
// The second kernel of a forward or an input gradient whose sums are split: adds the parts that
// blocks of conv_implicit_gemm_gather_kernel.h have left in p.sums, and stores y.
#pragma once
#include "conv_implicit_gemm_gather.h"
#include "element.h"
#include "grid.h"
#include "launch.h"
#include "mma_tile.h"

namespace cnnkern::cuda {

// Thread i adds the parts of element i, (phase, group, pixel, column), in their order.
template <class T>
__global__ void __launch_bounds__(kGatherSumsThreads)
    conv_implicit_gather_sums_kernel(const ImplicitGatherParameters p, int64_t elements) {
  const int64_t i = int64_t(blockIdx.x) * kGatherSumsThreads + threadIdx.x;
  if (i >= elements) return;
  int32_t rest = int32_t(i);
  const int32_t column = pop(rest, p.sum_columns), pixel = pop(rest, p.phase_pixels);
  const int32_t group = pop(rest, p.groups), phase = rest;
  const int32_t phase_w = pop(rest, p.width_phases), phase_h = pop(rest, p.height_phases);
  const ImplicitGatherParameters::Axis axis[3] = {p.axis[0][rest], p.axis[1][phase_h],
                                                  p.axis[2][phase_w]};
  int32_t sample = pixel, to = (group * p.columns + column) * p.y_channel;
  int32_t steps = p.channels / kStepTerms<T>;
#pragma unroll
  for (int a = 2; a >= 0; --a) {
    to += (axis[a].first + pop(sample, axis[a].out) * axis[a].spacing) * p.y_axis[a];
    steps *= axis[a].taps;
  }
  if (column >= p.columns || sample >= p.samples) return;  // phases differ in size
  const int64_t pitch = int64_t(p.groups.d) * p.phase_pixels.d * p.sum_columns.d;
  const float* const from = p.sums + phase * (p.parts.d - 1) * pitch + i;
  float sum = 0;
  int32_t part = 0;
  do {
    sum += from[part * pitch];
  } while (++part * p.part_steps < steps);
  if (p.residual) sum += widen(static_cast<const T*>(p.residual)[to + sample * p.y_sample]);
  if (p.bias) sum += widen(static_cast<const T*>(p.bias)[group * p.columns + column]);
  if (p.relu) sum = sum <= 0 ? 0 : sum;  // NaN stays
  static_cast<T*>(p.y)[to + sample * p.y_sample] = narrow<T>(sum);
}

template <class T>
void launch_implicit_gather_sums(const ImplicitGatherParameters& p, int64_t elements,
                                 Stream stream) {
  launch(conv_implicit_gather_sums_kernel<T>,
         dim3(unsigned(ceil_div(elements, kGatherSumsThreads))), dim3(kGatherSumsThreads), 0,
         stream, p, elements);
}

}  // namespace cnnkern::cuda
