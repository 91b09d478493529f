// SPDX-License-Identifier: BSD-3-Clause
// Tiles of the kernels for square filters: which problems have them, and how large they are.
#pragma once
#include "../problem/conv_problem.h"

namespace cnnkern::cuda {

// 3x3, 5x5 and 7x7 filters of one stride, 1 or 2 (7x7: 1), one filter a channel, no dilation, no
// depth, no float64.
bool square_serves(const ConvProblem&);

// A walk over one axis: the window of step i begins at source i * step + lower, and makes `spread`
// results from i * spread + first on.
//   forward, weight gradient: step the stride, spread 1, window the filter
//   input gradient:           step 1, spread the stride: results that share their window of dy
struct SquareAxis {
  int steps, sources, results;
  int lower, first;
};

// How a box lies in global memory, in segments of consecutive elements:
//   flat    contiguous, whole rows: one segment (whole planes, or a band of one)
//   rows    contiguous, parts of rows of one channel: one segment a row
//   pixels  channels_last: one segment a pixel
enum class Segments : uint8_t { flat, rows, pixels };

struct StagedTensor {
  Segments segments;
  bool vectors;  // segments are aligned alike, modulo 16 bytes
  int height, width;
  int channel, row, column;                    // strides in global memory
  int local_channel, local_row, local_column;  // and in shared memory
  int columns, accesses;  // of the largest box: segments of a row, accesses to a segment
  int slots;              // accesses to all
};

struct SquareTiles {
  SquareAxis h, w;
  int window, step, spread;
  // Contiguous: all planes of a batch are neighbours, so one image of n * c channels; not so for a
  // weight gradient.
  int images, channels;
  int tile_channels, tile_rows, tile_columns;  // rows and columns in steps
  int channel_tiles, row_tiles, column_tiles;
  bool staged_result;  // the results too (of a weight gradient: dy) go through shared memory
  StagedTensor source, result;
  int source_elements, result_elements;  // of shared memory
};

SquareTiles square_tiles(const ConvProblem&, Direction, bool aligned);

}  // namespace cnnkern::cuda
