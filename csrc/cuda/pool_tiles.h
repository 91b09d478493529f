// SPDX-License-Identifier: BSD-3-Clause
// How a pooling is cut into blocks. Every element of a block's part of the written tensor (y, or a
// gradient dx) needs some of the read one; neighbouring parts share a halo, which both blocks read.
// Parts are as small as keeps what all blocks read and write within kBound of the tensors' sizes.
#pragma once
#include <algorithm>

#include "grid.h"
#include "pool_window.h"

namespace cnnkern::cuda {

constexpr double kBound = 1.08;

// Parts of equal size instead of a small last one.
template <class Index>
Index balanced(Index extent, Index part) {
  return Index(ceil_div(extent, ceil_div(extent, smaller(part, extent))));
}

// What a part costs, seen from the tensor that is written.
template <class Axis>
struct Halo {
  using Index = typename Axis::Index;
  const Pool<Axis>& g;
  bool forward;
  double read_bytes, written_bytes;  // of an element; argmax counts with the tensor it lies beside

  Index written(int a) const { return forward ? g.axis[a].output : g.axis[a].input; }
  Index read(int a) const { return forward ? g.axis[a].input : g.axis[a].output; }
  Index most_read(int a, Index part) const {
    return forward ? g.axis[a].most_positions(part) : g.axis[a].most_windows(part);
  }
  Index all_read(int a) const {
    const Axis& axis = g.axis[a];
    return larger<Index>(forward ? axis.end(axis.output - 1) - axis.begin(0)
                                 : axis.windows_end(axis.input - 1) - axis.windows_begin(0),
                         1);
  }
  // How often an element is read where parts are this long along axis a.
  double repeats(int a, Index part) const {
    part = balanced(written(a), part);
    if (part == written(a)) return 1;
    return double(most_read(a, part)) * double(ceil_div(written(a), part)) / double(all_read(a));
  }
  // All bytes over the tensors' own, when elements are read so often.
  double ratio(double repeated) const {
    double reads = read_bytes, writes = written_bytes;
    for (int a = 0; a < 3; ++a) {
      reads *= double(all_read(a));
      writes *= double(written(a));
    }
    return (reads * repeated + writes) / (reads + writes);
  }
};

// Boxes of positions, whose blocks take a chunk of the elements at each: `lanes` threads along
// them, `columns` along the width, row_slots along the rest.
template <class Index>
struct Boxes {
  static constexpr int kThreads = 256;
  Index size[4], extent[4];  // images, depth, height, width
  Divisor<Index> boxes[3];   // along depth, height, width
  Divisor<Index> inner[2];   // the size of a box along depth and height
  Divisor<Index> chunks, lanes, columns;
  Index row_slots, rows;  // rows at a time, rows of a box in all its images and depths
  int64_t blocks;

  Index threads() const { return row_slots * columns.d * lanes.d; }
};

// `vectors`: pieces of the block of elements, each of `vector_bytes`, that a thread takes.
template <class Axis, class Index = typename Axis::Index>
Boxes<Index> choose_boxes(const Halo<Axis>& halo, int64_t vectors, int64_t vector_bytes) {
  constexpr int64_t kSector = 32, kChunk = 128;  // bytes
  Boxes<Index> b;
  b.chunks = Divisor<Index>(ceil_div(vectors * vector_bytes, kChunk));
  int64_t lanes = ceil_div(vectors, b.chunks.d);
  if (b.chunks.d > 1) lanes = ceil_div(lanes * vector_bytes, kSector) * kSector / vector_bytes;
  b.lanes = Divisor<Index>(lanes);

  b.extent[0] = halo.g.images;
  double total = double(halo.g.images) * double(vectors);
  for (int a = 0; a < 3; ++a) {
    b.extent[a + 1] = halo.written(a);
    total *= double(b.extent[a + 1]);
  }
  std::fill_n(b.size, 4, Index(1));
  const auto volume = [&] { return int64_t(b.size[0]) * b.size[1] * b.size[2] * b.size[3]; };
  const auto grow = [&](int a) {
    b.size[a] = smaller<Index>(b.size[a] + ceil_div(b.size[a], 4), b.extent[a]);
  };
  // A thread has one to four positions, the more the larger the problem.
  const int64_t work =
      Boxes<Index>::kThreads * larger<int64_t>(1, int64_t(smaller(total / 2e5, 4.)));
  for (int a : {3, 2, 1, 0}) {
    while (volume() * lanes < work && b.size[a] < b.extent[a]) grow(a);
  }
  for (;;) {
    double repeated = 1, most = 1;
    int worst = 0;
    for (int a = 0; a < 3; ++a) {
      const double r = halo.repeats(a, b.size[a + 1]);
      repeated *= r;
      if (r > most) worst = a + 1, most = r;
    }
    if (worst == 0 || halo.ratio(repeated) <= kBound) break;
    grow(worst);
  }
  b.blocks = b.chunks.d;
  for (int a = 0; a < 4; ++a) {
    b.size[a] = balanced(b.extent[a], b.size[a]);
    const int64_t count = ceil_div(b.extent[a], b.size[a]);
    b.blocks *= count;
    if (a == 0) continue;
    b.boxes[a - 1] = Divisor<Index>(count);
    if (a < 3) b.inner[a - 1] = Divisor<Index>(b.size[a]);
  }
  const Index slots = larger<Index>(Index(Boxes<Index>::kThreads / lanes), 1);
  b.columns = Divisor<Index>(balanced(b.size[3], slots));
  b.rows = b.size[0] * b.size[1] * b.size[2];
  b.row_slots = smaller<Index>(slots / b.columns.d, b.rows);
  return b;
}

// Ranges of memory, where positions hold one element: some planes, or some positions of one along
// its first axis that is not of size 1. What such a part reads is one range of memory as well, so
// both move 16 bytes at a time through shared memory.
template <class Index>
struct Slabs {
  static constexpr int kThreads = 256;
  int axis;  // -1: planes
  Index size, extent;
  Divisor<Index> slabs;             // along the axis
  Divisor<Index> depth, height;     // of the written tensor
  Index rows, width;                // of a plane of it
  Divisor<Index> columns;           // that threads take at a time,
  Index row_slots;                  // and rows
  Index read_inner, written_inner;  // elements of a position of the axis
  Index read_plane, written_plane;
  Index read_total, written_total;
  Index second, third;  // where the parts of shared memory begin
  int64_t blocks, smem_bytes;
  bool fits;
};

// `second`, `third`: bytes in shared memory beside each element of the read tensor, of the written.
template <class Axis, class Index = typename Axis::Index>
Slabs<Index> choose_slabs(const Halo<Axis>& halo, int64_t element, int64_t beside_read,
                          int64_t beside_written) {
  constexpr int64_t kMost = 46 * 1024, kUsual = 12 * 1024, kLeast = 2 * 1024;  // bytes
  constexpr int64_t kManyBlocks = 512;
  Slabs<Index> s;
  const auto part = [](int64_t count, int64_t bytes) {
    return bytes == 0 ? 0 : (ceil_div(count * bytes, 16) + 2) * 16;
  };
  const auto smem = [&](int64_t read, int64_t written) {
    return part(read, element) + part(read, beside_read) + part(written, element) +
           part(written, beside_written);
  };
  s.read_inner = s.written_inner = 1;
  s.read_plane = s.written_plane = 1;
  for (int a = 0; a < 3; ++a) {
    s.read_plane *= halo.read(a);
    s.written_plane *= halo.written(a);
  }
  s.read_total = s.read_plane * halo.g.images;
  s.written_total = s.written_plane * halo.g.images;
  s.depth = Divisor<Index>(halo.written(0));
  s.height = Divisor<Index>(halo.written(1));
  s.width = halo.written(2);
  s.rows = halo.written(0) * halo.written(1);

  int64_t most_read;
  const int64_t plane = smem(s.read_plane, s.written_plane);
  if (plane <= kUsual) {
    const int64_t images = halo.g.images;
    const int64_t bytes = smaller(int64_t(s.read_plane), int64_t(s.written_plane)) * element;
    const int64_t wanted = smaller(kUsual / plane, images / kManyBlocks);
    s.axis = -1;
    s.extent = halo.g.images;
    s.size = balanced(s.extent,
                      Index(larger<int64_t>(
                          smaller(larger(ceil_div(kLeast, bytes), wanted), kMost / 2 / plane), 1)));
    most_read = s.size * int64_t(s.read_plane);
    s.fits = true;
  } else {
    s.axis = 0;
    while (s.axis < 2 && halo.written(s.axis) == 1 && halo.read(s.axis) == 1) ++s.axis;
    for (int a = s.axis + 1; a < 3; ++a) {
      s.read_inner *= halo.read(a);
      s.written_inner *= halo.written(a);
    }
    s.extent = halo.written(s.axis);
    const auto bytes = [&](Index size) {
      return smem(int64_t(halo.most_read(s.axis, size)) * s.read_inner,
                  int64_t(size) * s.written_inner);
    };
    const auto ratio = [&](Index size) { return halo.ratio(halo.repeats(s.axis, size)); };
    s.size = 1;
    while (s.size < s.extent && (bytes(s.size) < kUsual / 2 || ratio(s.size) > kBound)) {
      const Index next = smaller<Index>(s.size + ceil_div(s.size, 4), s.extent);
      if (bytes(next) > kMost) break;
      s.size = next;
    }
    s.size = balanced(s.extent, s.size);
    s.fits = bytes(s.size) <= kMost && ratio(s.size) < 1.2;
    most_read = int64_t(halo.most_read(s.axis, s.size)) * s.read_inner;
  }
  const int64_t most_written = int64_t(s.size) * (s.axis < 0 ? s.written_plane : s.written_inner);
  const int64_t count = ceil_div(s.extent, s.size);
  s.columns = Divisor<Index>(balanced(s.axis == 2 ? s.size : s.width, Index(s.kThreads)));
  s.row_slots = Index(s.kThreads / s.columns.d);
  s.slabs = Divisor<Index>(s.axis < 0 ? 1 : count);
  s.blocks = s.axis < 0 ? count : count * halo.g.images;
  s.second = Index(part(most_read, element));
  s.third =
      Index(s.second + (halo.forward ? part(most_written, element) : part(most_read, beside_read)));
  s.smem_bytes = smem(most_read, most_written);
  return s;
}

// Windows that share little and have many taps: several threads, `slices`, take parts of one.
template <class Index>
struct Slices {
  static constexpr int kThreads = 256;
  Divisor<Index> chunks, lanes, slices;
  Divisor<Index> depth, height, width;  // of the output
  Index windows;                        // of all images
  Index groups;                         // windows a block
  int64_t blocks;
};

// Whether threads of their own for each window would be too few, each with too much to do.
template <class Axis>
bool is_sliced(const Pool<Axis>& g, int64_t least_taps) {
  double taps = 1, inputs = 1, outputs = 1;
  for (const Axis& a : g.axis) {
    taps *= double(smaller(a.kernel, a.input));
    inputs *= double(a.input);
    outputs *= double(a.output);
  }
  return taps >= double(least_taps) && taps * outputs <= 4 * inputs;
}

// `pieces` of the block of elements, each a thread's; `steps` of a window.
template <class Axis, class Index = typename Axis::Index>
Slices<Index> choose_slices(const Pool<Axis>& g, int64_t pieces, int64_t steps) {
  constexpr int64_t kLanes = 16;
  Slices<Index> s;
  s.chunks = Divisor<Index>(ceil_div(pieces, kLanes));
  int64_t lanes = ceil_div(pieces, s.chunks.d), slices = 1;
  if (s.chunks.d > 1) lanes += lanes % 2;
  while (2 * slices * lanes <= Slices<Index>::kThreads && 4 * slices < steps) slices *= 2;
  s.lanes = Divisor<Index>(lanes);
  s.slices = Divisor<Index>(slices);
  s.windows = g.images * g.output_plane();
  s.groups = smaller<Index>(
      Index(larger<int64_t>(Slices<Index>::kThreads / 2 / (slices * lanes), 1)), s.windows);
  s.depth = Divisor<Index>(g.axis[0].output);
  s.height = Divisor<Index>(g.axis[1].output);
  s.width = Divisor<Index>(g.axis[2].output);
  s.blocks = ceil_div(s.windows, s.groups) * s.chunks.d;
  return s;
}

}  // namespace cnnkern::cuda
