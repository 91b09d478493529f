// SPDX-License-Identifier: BSD-3-Clause
// What of a pooling one block or thread has, as pool_tiles.h cut it.
#pragma once
#include "pool_copy.h"
#include "pool_tiles.h"

namespace cnnkern::cuda {

// Of a running sum, before it is added to a total: longer ones lose bits.
constexpr int kMostTerms = 128;

// The positions of a box that a thread takes: some columns, in each of them some rows, so that what
// depends on the column is computed once. `row` counts images, depths and heights.
template <class Index>
struct BoxPositions {
  Index box_n, box_d, box_h, box_w;  // where the box begins
  Index channel;                     // the first of the thread's elements at a position
  Index column, row;                 // where the thread begins, within the box

  __device__ BoxPositions(const Boxes<Index>& b, int V) {
    Index chunk = Index(blockIdx.x), lane = Index(threadIdx.x);
    box_w = split(chunk, b.chunks);
    column = split(lane, b.lanes);
    row = split(column, b.columns);
    channel = (chunk * b.lanes.d + lane) * V;
    box_h = split(box_w, b.boxes[2]);
    box_d = split(box_h, b.boxes[1]);
    box_n = split(box_d, b.boxes[0]) * b.size[0];
    box_d *= b.size[1];
    box_h *= b.size[2];
    box_w *= b.size[3];
  }
  // False where the box reaches beyond the tensor.
  __device__ bool find(const Boxes<Index>& b, Index at, Index& n, Index& d, Index& h) const {
    h = at;
    d = split(h, b.inner[1]);
    n = split(d, b.inner[0]) + box_n;
    d += box_d;
    h += box_h;
    return n < b.extent[0] && d < b.extent[1] && h < b.extent[2];
  }
  __device__ Index flat(const Boxes<Index>& b, Index n, Index d, Index h, Index w) const {
    return ((n * b.extent[1] + d) * b.extent[2] + h) * b.extent[3] + w;
  }
};

// The parts of the written and of the read tensor that a block has.
template <class Index>
struct Part {
  Index read_begin, read_end, written_begin, written_end;
  Index row_begin, row_end, width_begin, width_end;  // the written positions

  template <class Axis, class Range>
  __device__ Part(const Pool<Axis>& g, const Slabs<Index>& s, const Range& range) {
    Index slab = Index(blockIdx.x);
    const Index image = split(slab, s.slabs);
    if (s.axis < 0) {
      const Index begin = image * s.size, end = smaller(begin + s.size, s.extent);
      read_begin = begin * s.read_plane;
      read_end = end * s.read_plane;
      written_begin = begin * s.written_plane;
      written_end = end * s.written_plane;
      row_begin = begin * s.rows;
      row_end = end * s.rows;
      width_begin = 0;
      width_end = s.width;
      return;
    }
    const Index begin = slab * s.size, end = smaller(begin + s.size, s.extent);
    Index from, to;
    range(g.axis[s.axis], begin, end, from, to);
    read_begin = image * s.read_plane + from * s.read_inner;
    read_end = image * s.read_plane + larger(from, to) * s.read_inner;
    written_begin = image * s.written_plane + begin * s.written_inner;
    written_end = image * s.written_plane + end * s.written_inner;
    const bool whole = s.axis < 2;  // rows
    const Index rows = s.axis == 0 ? s.height.d : 1;
    row_begin = image * s.rows + (whole ? begin * rows : 0);
    row_end = image * s.rows + (whole ? end * rows : 1);
    width_begin = whole ? 0 : begin;
    width_end = whole ? s.width : end;
  }
};

// Where the first written element of a part is staged, so that 16 bytes move at a time.
template <class T, class Index>
__device__ Index shift(const Part<Index>& part) {
  return part.written_begin - floor_16<T>(part.written_begin);
}

}  // namespace cnnkern::cuda
