// SPDX-License-Identifier: BSD-3-Clause
#include "conv_reduction.h"

#include <algorithm>
#include <vector>

namespace cnnkern::cpu {
namespace {

// Sums of so many terms join the others in memory: the rounding error grows with this number plus
// the number of such sums, not with their product. A block costs as much as about three terms.
constexpr int64_t kShortBlock = 48, kLongBlock = 128;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class Body>
void for_each_tap(const Axes& axes, const Extent& pitch, const Body& body) {
  for (int64_t d = 0; d < axes[0].taps; ++d)
    for (int64_t h = 0; h < axes[1].taps; ++h)
      for (int64_t w = 0; w < axes[2].taps; ++w) body(d * pitch[0] + h * pitch[1] + w * pitch[2]);
}

}  // namespace

int64_t count_chunks(const Axes& axes, int64_t channels) {
  return divide_up(taps_of(axes) * channels, kChunkTerms);
}

int64_t count_runs(const Axes& axes, int64_t channels) {
  return taps_of(axes) + count_chunks(axes, channels);
}

void tap_offsets(const Axes& axes, const Extent& pitch, int64_t* out) {
  for_each_tap(axes, pitch, [&](int64_t offset) { *out++ = offset; });
}

void packed_taps(const Axes& axes, const Axes& packed, int64_t* out) {
  int64_t first[3];
  for (int i = 0; i < 3; ++i)
    first[i] = (axes[i].tap_first - packed[i].tap_first) / packed[i].tap_spacing;
  const Extent pitch{packed[1].taps * packed[2].taps, packed[2].taps, 1};
  const int64_t origin = first[0] * pitch[0] + first[1] * pitch[1] + first[2];
  for_each_tap(axes, pitch, [&](int64_t offset) { *out++ = origin + offset; });
}

void fill_chunks(const Axes& axes, const Axes& packed, const Extent& pitch, int64_t channels,
                 Chunk* chunks, Run* runs) {
  const int64_t count = count_chunks(axes, channels);
  if (!count) return;
  const int64_t terms = taps_of(axes) * channels, size = divide_up(terms, count);
  const int64_t block = divide_up(size, divide_up(size, count == 1 ? kShortBlock : kLongBlock));
  for (int64_t i = 0; i < count; ++i)
    chunks[i] = {nullptr, 0, std::max<int64_t>(0, std::min(size, terms - i * size)), block};
  std::vector<int64_t> taps(size_t(taps_of(axes)));
  packed_taps(axes, packed, taps.data());
  const int64_t* tap = taps.data();
  int64_t chunk = 0, room = chunks[0].terms, read = 0;  // read: of the packed terms
  chunks[0].runs = runs;
  for_each_tap(axes, pitch, [&](int64_t offset) {
    int64_t skipped = *tap++ * channels - read;
    read += skipped + channels;
    for (int64_t left = channels; left;) {
      if (!room) {
        room = chunks[++chunk].terms;
        chunks[chunk].runs = runs;
      }
      const int64_t length = std::min(left, room);
      Chunk& to = chunks[chunk];
      if (to.count && !skipped && runs[-1].offset + runs[-1].length == offset) {
        runs[-1].length += length;
      } else {
        *runs++ = {offset, length, skipped};
        ++to.count;
        to.skipped += skipped;
        skipped = 0;
      }
      offset += length;
      left -= length;
      room -= length;
    }
  });
}

}  // namespace cnnkern::cpu
