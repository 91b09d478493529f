// SPDX-License-Identifier: BSD-3-Clause
#include "conv_depthwise_tiles.h"

#include <algorithm>
#include <limits>

#include "conv_depthwise_strides.h"
#include "grid.h"

namespace cnnkern::cuda {
namespace {

// Shared memory of a tile: so much that few rows are read twice, and so little that several blocks
// share a processor. A weight gradient keeps totals there as well.
constexpr int64_t kTileBytes = 56 * 1024, kWeightTileBytes = 40 * 1024;
// Of small planes or images: more blocks rather than larger ones.
constexpr int64_t kPlanesBytes = 16 * 1024, kImageBytes = 32 * 1024;
constexpr int64_t kSector = 32;
constexpr int64_t kStrip = 8;     // rows of a thread
constexpr double kReread = 1.13;  // of the source, at most, before rows are cut

struct Sizes {
  int64_t channels, rows, columns;  // rows and columns in steps
};

SquareAxis square_axis(const ConvProblem& g, size_t axis, bool adjoint) {
  const int64_t taps = g.kernel[axis], pad = g.pad_before[axis], stride = g.stride[axis];
  SquareAxis a{};
  a.sources = static_cast<int>(adjoint ? g.output[axis] : g.input[axis]);
  a.results = static_cast<int>(adjoint ? g.input[axis] : g.output[axis]);
  if (adjoint) {
    // Result h meets source p at tap r where h + pad = p * stride + r.
    a.lower = static_cast<int>(pad / stride - (ceil_div(taps, stride) - 1));
    a.first = static_cast<int>(-(pad % stride));
    a.steps = static_cast<int>(ceil_div(a.results - a.first, stride));
  } else {
    a.lower = static_cast<int>(-pad);
    a.steps = a.results;
  }
  return a;
}

class Chooser {
 public:
  Chooser(const SquareTiles& t, int64_t element, int64_t most)
      : t_(t), element_(element), most_(most) {}

  // What a tile of so many steps reads of an axis, at most. Of two tiles, both lie at an edge.
  int64_t source(const SquareAxis& a, int64_t steps) const {
    const int64_t span = (steps - 1) * t_.step + t_.window, sources = a.sources;
    if (2 * steps < a.steps) return std::min(sources, span);
    const auto inside = [&](int64_t at) { return std::clamp<int64_t>(at, 0, sources); };
    const int64_t second = steps * t_.step + a.lower;
    const int64_t last = (a.steps - 1) * t_.step + a.lower + t_.window;
    return std::max(inside(a.lower + span) - inside(a.lower),
                    steps < a.steps ? inside(last) - inside(second) : 0);
  }
  int64_t result(const SquareAxis& a, int64_t steps) const {
    return std::min<int64_t>(a.results, steps * t_.spread);
  }
  int64_t bytes(const Sizes& s, bool with_result) const {
    int64_t elements = source(t_.h, s.rows) * source(t_.w, s.columns);
    if (with_result) elements += result(t_.h, s.rows) * result(t_.w, s.columns);
    return s.channels * elements * element_;
  }
  bool fits(const Sizes& s, bool with_result) const { return bytes(s, with_result) <= most_; }
  // As many rows as fit, in even bands, of whole strips if those fit too; at least one.
  Sizes band(int64_t channels, int64_t columns, bool with_result) const {
    Sizes s{channels, t_.h.steps, columns};
    while (s.rows > 1 && !fits(s, with_result)) s.rows -= ceil_div(s.rows, 16);
    s.rows = ceil_div(t_.h.steps, ceil_div(t_.h.steps, s.rows));
    Sizes strips = s;
    strips.rows = std::min<int64_t>(t_.h.steps, ceil_div(s.rows, kStrip) * kStrip);
    return fits(strips, with_result) ? strips : s;
  }
  // How often an element of the source is read.
  double rereads(const Sizes& s) const {
    const auto share = [&](const SquareAxis& a, int64_t steps) {
      return double(source(a, steps)) / double(std::min<int64_t>(a.sources, steps * t_.step));
    };
    return share(t_.h, s.rows) * share(t_.w, s.columns);
  }
  // The box that reads least twice; wider ones where it matters little.
  Sizes box(int64_t channels, bool with_result) const {
    Sizes best{};
    double least = std::numeric_limits<double>::infinity();
    for (int64_t pieces = 1; pieces <= t_.w.steps; pieces += ceil_div(pieces, 4)) {
      const Sizes s = band(channels, ceil_div(t_.w.steps, pieces), with_result);
      if (!fits(s, with_result) || rereads(s) >= 0.98 * least) continue;
      least = rereads(s);
      best = s;
    }
    return best;
  }

 private:
  const SquareTiles& t_;
  int64_t element_, most_;
};

int64_t power_of_two_within(int64_t most) {
  int64_t power = 1;
  while (2 * power <= most) power *= 2;
  return power;
}

// Channels of one pixel that a block takes: whole sectors, in even shares.
int64_t channel_chunk(int64_t channels, int64_t element, int64_t bytes) {
  const int64_t sector = kSector / element;
  const int64_t chunks = ceil_div(channels * element, bytes);
  return std::min(channels, ceil_div(ceil_div(channels, chunks), sector) * sector);
}

Sizes choose(const SquareTiles& t, const ConvProblem& g, bool weight_grad, Segments& segments) {
  const int64_t element = size_of(g.dtype);
  const Sizes whole{1, t.h.steps, t.w.steps};
  if (g.format == Format::channels_last) {
    segments = Segments::pixels;
    const Chooser chooser(t, element, kTileBytes);
    Sizes s = whole;
    for (int64_t bytes = 4 * kSector; bytes >= kSector; bytes /= 2) {
      s.channels = channel_chunk(t.channels, element, bytes);
      if (chooser.bytes(s, false) <= kImageBytes) return s;
    }
    return chooser.box(s.channels, false);
  }
  segments = Segments::flat;
  const Chooser chooser(t, element, weight_grad ? kWeightTileBytes : kTileBytes);
  const Sizes band = chooser.band(1, t.w.steps, true);
  const bool fits = chooser.fits(band, true);
  if (fits && band.rows == whole.rows) {
    Sizes s = whole;
    const int64_t planes = std::max<int64_t>(1, kPlanesBytes / chooser.bytes(whole, true));
    s.channels = std::min<int64_t>(t.channels, planes);
    return s;
  }
  if (fits && chooser.rereads(band) <= kReread) return band;
  segments = Segments::rows;
  return chooser.box(1, false);
}

struct Span {
  int64_t channels, rows, columns;
};

StagedTensor staged(const ConvProblem& g, Segments segments, const SquareAxis& h,
                    const SquareAxis& w, bool source, const Span& box, bool aligned,
                    int& elements) {
  const int64_t height = source ? h.sources : h.results, width = source ? w.sources : w.results;
  const int64_t lanes = 16 / size_of(g.dtype);
  const DenseStrides<int> strides(g.format, g.c, {1, height, width});
  StagedTensor s{};
  s.segments = segments;
  s.columns = 1;
  s.channel = strides.c;
  s.row = strides.h;
  s.column = strides.w;
  s.height = static_cast<int>(height);
  s.width = static_cast<int>(width);
  int64_t accesses = 0;
  if (segments == Segments::flat) {
    s.vectors = true;
    const int64_t length = (box.channels - 1) * strides.c + box.rows * strides.h;
    accesses = ceil_div(length + lanes - 1, lanes);
    s.slots = static_cast<int>(accesses);
    elements = static_cast<int>(accesses * lanes);
    s.local_channel = s.channel;
    s.local_row = s.row;
    s.local_column = 1;
  } else if (segments == Segments::rows) {
    s.vectors = width % lanes == 0;
    accesses = s.vectors ? ceil_div(box.columns + lanes - 1, lanes) : box.columns;
    s.slots = static_cast<int>(box.rows * accesses);
    s.local_row = static_cast<int>(s.vectors ? accesses * lanes : accesses);
    s.local_column = 1;
    elements = static_cast<int>(box.rows * s.local_row);
  } else {
    s.vectors = aligned && g.c % lanes == 0 && box.channels % lanes == 0;
    accesses = s.vectors ? box.channels / lanes : box.channels;
    s.columns = static_cast<int>(box.columns);
    s.slots = static_cast<int>(box.rows * box.columns * accesses);
    s.local_channel = 1;
    s.local_column = static_cast<int>(box.channels);
    s.local_row = static_cast<int>(box.columns * box.channels);
    elements = static_cast<int>(box.rows * s.local_row);
  }
  s.accesses = static_cast<int>(accesses);
  elements = static_cast<int>(ceil_div(elements, lanes) * lanes);
  return s;
}

}  // namespace

bool square_serves(const ConvProblem& g) {
  const int64_t taps = g.kernel[1], stride = g.stride[1];
  return g.dtype != DataType::float64 && g.k == g.c && g.kernel[0] == 1 && g.input[0] == 1 &&
         g.output[0] == 1 && g.pad_before[0] == 0 && g.kernel[2] == taps && g.stride[2] == stride &&
         g.dilation[1] == 1 && g.dilation[2] == 1 &&
         ((stride == 1 && (taps == 3 || taps == 5 || taps == 7)) ||
          (stride == 2 && (taps == 3 || taps == 5)));
}

SquareTiles square_tiles(const ConvProblem& g, Direction direction, bool aligned) {
  const bool adjoint = direction == Direction::input_grad;
  const bool weight_grad = direction == Direction::weight_grad;
  SquareTiles t{};
  t.h = square_axis(g, 1, adjoint);
  t.w = square_axis(g, 2, adjoint);
  t.step = static_cast<int>(adjoint ? 1 : g.stride[1]);
  t.spread = static_cast<int>(adjoint ? g.stride[1] : 1);
  t.window = static_cast<int>(ceil_div(g.kernel[1], t.spread));
  const bool merged = g.format == Format::contiguous && !weight_grad;
  t.images = static_cast<int>(merged ? 1 : g.n);
  t.channels = static_cast<int>(merged ? g.n * g.c : g.c);

  Segments segments{};
  Sizes s = choose(t, g, weight_grad, segments);
  if (weight_grad) s.channels = power_of_two_within(std::min<int64_t>(s.channels, 64));
  t.tile_channels = static_cast<int>(s.channels);
  t.tile_rows = static_cast<int>(s.rows);
  t.tile_columns = static_cast<int>(s.columns);
  t.channel_tiles = static_cast<int>(ceil_div(t.channels, s.channels));
  t.row_tiles = static_cast<int>(ceil_div(t.h.steps, s.rows));
  t.column_tiles = static_cast<int>(ceil_div(t.w.steps, s.columns));
  t.staged_result = segments == Segments::flat;

  const Chooser chooser(t, 1, 0);
  t.source = staged(g, segments, t.h, t.w, true,
                    {s.channels, chooser.source(t.h, s.rows), chooser.source(t.w, s.columns)},
                    aligned, t.source_elements);
  t.result = staged(g, segments, t.h, t.w, false,
                    {s.channels, chooser.result(t.h, s.rows), chooser.result(t.w, s.columns)},
                    aligned, t.result_elements);
  return t;
}

}  // namespace cnnkern::cuda
