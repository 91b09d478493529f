// SPDX-License-Identifier: BSD-3-Clause
// The end of a block of a weight gradient: totals[row][thread] in shared memory, a row being a tap,
// are added over the threads of each channel.
#pragma once
#include <cuda_runtime.h>

#include "launch.h"

namespace cnnkern::cuda {

// Calls give(channel, row, total) once for each, by whichever thread has it. Threads of a channel
// follow each other, or (interleaved) are `channels` apart. Always in the same order.
template <int kThreads, class A, class Give>
__device__ void add_totals(const A* totals, int rows, int channels, int lanes, bool interleaved,
                           const Give& give) {
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int channel_pitch = interleaved ? 1 : lanes, lane_pitch = interleaved ? channels : 1;
  for (int i = warp; i < rows * channels; i += kThreads / 32) {
    const int row = i / channels, channel = i - row * channels;
    const A* const from = totals + row * kThreads + channel * channel_pitch;
    A sum = 0;
    for (int j = lane; j < lanes; j += 32) sum += from[j * lane_pitch];
    for (int distance = 16; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(~0u, sum, distance);
    }
    if (lane == 0) give(channel, row, sum);
  }
}

}  // namespace cnnkern::cuda
