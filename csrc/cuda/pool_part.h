// SPDX-License-Identifier: BSD-3-Clause
// What of a pooling one block or thread has, as pool_tiles.h cut it.
#pragma once
#include "pool_copy.h"
#include "pool_tiles.h"

namespace cnnkern::cuda {

// The positions that a thread takes, one after another, and its elements at each.
template <class Index>
struct BoxPosition {
  Index n, d, h, w;                  // of the written tensor
  Index box_n, box_d, box_h, box_w;  // of the block's box
  Index slot;

  // False for a thread without work; `channel` is the first of its V elements.
  __device__ bool begin(const Boxes<Index>& b, int V, Index block, Index& channel) {
    Index chunk = Index(blockIdx.x), lane = Index(threadIdx.x);
    box_w = split(chunk, b.chunks);
    slot = split(lane, b.lanes);
    box_h = split(box_w, b.boxes[2]);
    box_d = split(box_h, b.boxes[1]);
    box_n = split(box_d, b.boxes[0]);
    channel = (chunk * b.lanes.d + lane) * V;
    find(b);
    return channel < block;
  }
  __device__ bool left(const Boxes<Index>& b) const { return slot < b.volume; }
  __device__ void next(const Boxes<Index>& b) {
    slot += b.slots;
    find(b);
  }
  // A box may reach beyond the tensor.
  __device__ bool inside(const Boxes<Index>& b) const {
    return n < b.extent[0] && d < b.extent[1] && h < b.extent[2] && w < b.extent[3];
  }
  __device__ Index flat(const Boxes<Index>& b) const {
    return ((n * b.extent[1] + d) * b.extent[2] + h) * b.extent[3] + w;
  }

 private:
  __device__ void find(const Boxes<Index>& b) {
    w = slot;
    h = split(w, b.inner[2]);
    d = split(h, b.inner[1]);
    n = split(d, b.inner[0]);
    n += box_n * b.size[0];
    d += box_d * b.size[1];
    h += box_h * b.size[2];
    w += box_w * b.size[3];
  }
};

// The parts of the written and of the read tensor that a block has.
template <class Index>
struct Part {
  Index read_begin, read_end, written_begin, written_end;

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
      return;
    }
    const Index begin = slab * s.size, end = smaller(begin + s.size, s.extent);
    Index from, to;
    range(g.axis[s.axis], begin, end, from, to);
    read_begin = image * s.read_plane + from * s.read_inner;
    read_end = image * s.read_plane + larger(from, to) * s.read_inner;
    written_begin = image * s.written_plane + begin * s.written_inner;
    written_end = image * s.written_plane + end * s.written_inner;
  }
};

// Where the first written element of a part is staged, so that 16 bytes move at a time.
template <class T, class Index>
__device__ Index shift(const Part<Index>& part) {
  return part.written_begin - floor_16<T>(part.written_begin);
}

}  // namespace cnnkern::cuda
