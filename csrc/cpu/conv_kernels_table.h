// SPDX-License-Identifier: BSD-3-Clause
// The convolution kernels of one instruction set, and the plain structs that they are called with.
// Void pointers are of the table's storage type, or (strips, packed filters, sums) of the type that
// it computes in.
#pragma once
#include <array>
#include <cstdint>

#include "../problem/border.h"
#include "conv_gather.h"

namespace cnnkern::cpu {

using Strides = std::array<int64_t, 5>;

// What a gather reads and writes, and what is done to a sum before it is stored.
struct Operands {
  const void* x;
  Strides xs;
  void* y;
  Strides ys;
  const void* bias;      // a value for each channel of y, or null
  const void* residual;  // a value for each element of y, where y has it, or null
  bool relu;
};
// The same of a weight gradient.
struct WeightGradOperands {
  const void* x;
  Strides xs;
  const void* dy;
  Strides ys;
  void* dw;
  Strides ws;
  Extent kernel;  // all taps: those that blocks leave out have a zero gradient
  void* db;       // or null
};

// An axis cut into blocks, and where the source positions of a block lie in a packed strip.
// Dense: neighbours stay neighbours. Otherwise each (output, tap) has its own place.
struct BlockAxis : Axis {
  int64_t block, blocks;  // outputs in a block (the last may have fewer), blocks
  bool dense;
  int64_t pitch;                 // dense: from one source position to the next
  int64_t out_pitch, tap_pitch;  // from one output, one tap, to the next
};

// The source region of a block of images and outputs, in compute type, channels innermost, padding
// (whatever the border) written in.
struct Blocks {
  std::array<BlockAxis, 3> axis;
  int64_t images, image_block, image_blocks, image_pitch;
  int64_t channels;    // of a strip
  int64_t strip_size;  // elements
  int64_t pixels;      // outputs in a block, at most
  Border border;       // of the source
  int64_t count() const { return image_blocks * axis[0].blocks * axis[1].blocks * axis[2].blocks; }
};

// A stretch of the reduction that is contiguous in the source: a tap's channels, or several taps'.
struct Run {
  int64_t offset, length;
  int64_t skipped = 0;  // terms of the packed filters before it that belong to no run
};
// A part of a reduction whose filters stay in the first cache.
struct Chunk {
  const Run* runs;
  int64_t count, terms;
  int64_t block;        // terms that are added up by themselves
  int64_t skipped = 0;  // by all runs
};

struct GatherCall : Operands {
  Blocks blocks;
  int64_t groups, cin, cout;  // channels of a group
  int64_t filter_parts;       // tasks that share a block, each with some of its filter blocks
  const void* filters;        // packed: [group][block of vectors][tap][channel][lane]
  int64_t filter_terms, filter_group;
  const Chunk* packed_chunks;    // offsets in a strip
  const Chunk* in_place_chunks;  // offsets in x, or null where x cannot be read as it is
  int64_t chunks;
  int64_t tasks() const { return blocks.count() * groups * filter_parts; }
};
struct GatherScratch {
  void *strip, *sums;
  int64_t *source, *destination, *stretch;  // a value a pixel of a block
};

struct FilterPack {
  const void* w;
  int64_t lane_stride, channel_stride, group_stride;
  Strides strides;
  Axes axes;  // which taps, in which order
  int64_t groups, lanes, channels;
  void* packed;
};

struct WeightGradCall : WeightGradOperands {
  Blocks blocks;  // channels: channel_block
  int64_t groups, cin, cout;
  int64_t channel_block, channel_blocks, filter_block, filter_blocks, splits;
  const int64_t* packed_taps;    // offsets of taps in a strip
  const int64_t* in_place_taps;  // offsets of taps in x, or null where it cannot be read as it is
  // [split][group][filter block][channel block][sums_size]; one is [vectors][tap, channel][lane],
  // then the sums of dy
  void* sums;
  int64_t sums_size;
  int64_t tasks() const { return splits * groups * filter_blocks * channel_blocks; }
};
struct WeightGradScratch {
  void *strip, *dy;
  int64_t *source, *dy_source, *row;
};

// Depthwise: channel c gathers from channels c * in_parts + i of x for channels c * out_parts + j
// of y. One of the two is the multiplier, the other 1.
struct DepthwiseCall : Operands {
  Blocks blocks;  // channels: channel_block, rounded up to whole vectors
  int64_t channels, channel_block, channel_blocks, in_parts, out_parts;
  const void* filters;         // packed as for a gather: a group a part, lanes are channels
  int64_t filter_count;        // taps of these
  const int64_t* filter_taps;  // which of them each tap is
  const int64_t* packed_taps;
  const int64_t* in_place_taps;  // null where x cannot be read as it is
  int64_t tasks() const { return blocks.count() * channel_blocks; }
};
struct DepthwiseWeightGradCall : WeightGradOperands {
  Blocks blocks;
  int64_t channels, channel_block, channel_blocks, parts, splits;
  const int64_t* packed_taps;
  const int64_t* in_place_taps;
  void* sums;  // [split][channel block][sums_size]; one is [vector][part][tap][lane], with dy's sum
  int64_t sums_size;  // as the last tap
  int64_t tasks() const { return splits * channel_blocks; }
};

// Few destination channels a group: lanes are pixels of a row. The phases of an input gradient (a
// forward has one) read the same strip: [channel][depth][height][width], padding written in.
struct PixelPhase {
  Axes axes;
  const void* filters;  // packed as for a gather
  const int64_t* taps;  // offsets in a strip from where the block begins
};
struct PixelCall : Operands {
  const PixelPhase* phases;
  int64_t phase_count, images, groups, cin, cout;
  Extent lattice;        // outputs of the longest phase along each axis
  Extent block, blocks;  // of these: one along the depth
  Extent stride, in;     // of the source
  Extent first, reach;   // the first output reads from here, so many positions
  // Elements from row to row, depth to depth, channel to channel of a strip. Sums have rows of the
  // same length; a line of vectors runs on from row to row, over columns that nobody wants, or ends
  // with each.
  int64_t row, slice, plane, sums_plane;
  bool run_on;
  int64_t channels;      // of a strip
  int64_t segment_taps;  // whose terms of a strip are added up by themselves
  int64_t tasks() const { return images * groups * blocks[0] * blocks[1] * blocks[2]; }
};
struct PixelScratch {
  void *strip, *sums;  // sums: [phase][filter][row]
};
constexpr int64_t kFewFilters = 4;

constexpr int64_t kWinogradTile = 2;                  // outputs along each side
constexpr int64_t kWinogradSide = kWinogradTile + 2;  // what they read
constexpr int64_t kWinogradPoints = kWinogradSide * kWinogradSide;

// Filters of 3x3 taps, packed, and transformed to the points of a tile.
struct WinogradFilters {
  const void* packed;       // of all filters
  void* transformed;        // of some blocks of each group
  int64_t lanes, channels;  // of a group
  int64_t first_block, blocks;
  int64_t group;  // elements of one, transformed
};
struct WinogradCall : Operands {
  Blocks blocks;  // outputs rounded up to whole tiles
  Extent out;     // outputs
  int64_t groups, cin, cout;
  int64_t first_filter_block, filter_blocks;  // of each group: what this call is for
  int64_t filter_parts;  // tasks that share a block, each with some of its filter blocks
  const void* filters;   // [group][filter block][point][channel][lane], points a line apart
  int64_t filter_group;
  const Chunk* chunk;  // of the channels of a point
  int64_t chunks;
  int64_t tasks() const { return blocks.count() * groups * filter_parts; }
};
struct WinogradScratch {
  // A block's source as a strip; transformed, [point][tile][channel]; products, [point][tile]
  // [lane]; outputs, [pixel][lane].
  void *strip, *sources, *products, *sums;
  int64_t *source, *destination, *stretch;  // a value a tile, a pixel, a pixel
};

struct ConvTypeKernels {
  int lanes;    // of the compute type
  int vectors;  // of filters in the widest tile: packed filters come in blocks of so many
  void (*pack_filters)(const FilterPack&, int64_t begin, int64_t end);  // tasks: groups * vectors
  void (*gather)(const GatherCall&, const GatherScratch&, int64_t begin, int64_t end);
  void (*pixels)(const PixelCall&, const PixelScratch&, int64_t begin, int64_t end);
  void (*weight_grad)(const WeightGradCall&, const WeightGradScratch&, int64_t begin, int64_t end);
  // Tasks: groups * filter_blocks * channel_blocks; adds the splits in order and stores.
  void (*weight_grad_store)(const WeightGradCall&, int64_t begin, int64_t end);
  void (*depthwise)(const DepthwiseCall&, const GatherScratch&, int64_t begin, int64_t end);
  void (*depthwise_weight_grad)(const DepthwiseWeightGradCall&, const WeightGradScratch&,
                                int64_t begin, int64_t end);
  void (*depthwise_weight_grad_store)(const DepthwiseWeightGradCall&, int64_t begin, int64_t end);
  // Null for float64.
  void (*winograd_filters)(const WinogradFilters&, int64_t begin, int64_t end);
  bool (*winograd)(const WinogradCall&, const WinogradScratch&, int64_t begin, int64_t end);
};

struct ConvKernels {
  ConvTypeKernels type[4];  // by DataType
};

constexpr int64_t kCacheLine = 64;    // bytes
constexpr int64_t kPanel = 192;       // pixels whose sums stay in the first cache
constexpr int64_t kChunkTerms = 256;  // terms of a chunk
constexpr int64_t kPixelChunk = 256;  // pixels of a weight gradient added up in registers

}  // namespace cnnkern::cpu
