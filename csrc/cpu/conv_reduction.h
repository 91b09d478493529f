// SPDX-License-Identifier: BSD-3-Clause
// The reduction of a gather as tiles walk it: runs of contiguous source elements, in chunks. The
// cut depends on taps and channels alone, so a batch of any size is summed in the same order.
#pragma once
#include "conv_kernels_table.h"

namespace cnnkern::cpu {

// Chunks, and runs at most, of a reduction.
int64_t count_chunks(const Axes&, int64_t channels);
int64_t count_runs(const Axes&, int64_t channels);

// Offsets of taps, in row-major order, from their pitch along each axis.
void tap_offsets(const Axes&, const Extent& pitch, int64_t* out);
// Which taps of the axes that filters are packed for these are.
void packed_taps(const Axes&, const Axes& packed, int64_t* out);

// Fills chunks and runs (as many as counted above) from the offsets of taps.
void fill_chunks(const Axes&, const Axes& packed, const Extent& pitch, int64_t channels,
                 Chunk* chunks, Run* runs);

}  // namespace cnnkern::cpu
