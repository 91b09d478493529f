// SPDX-License-Identifier: BSD-3-Clause
#include "kept_filters.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "conv_run.h"

namespace cnnkern::cpu {
namespace {

constexpr int64_t kLeastBytes = int64_t(64) << 10;  // smaller filters are packed in microseconds
constexpr int64_t kMostPositions = 512;  // packing a value costs as much as about ten of these
constexpr int64_t kPart = int64_t(256) << 10;  // bytes that one task hashes
constexpr int64_t kAlignment = 64;

// Multiplications and rotations as in xxHash64 (Y. Collet), over eight lanes.
constexpr uint64_t kOdd1 = 0x9E3779B185EBCA87u, kOdd2 = 0xC2B2AE3D27D4EB4Fu;
uint64_t rotate(uint64_t a, int by) { return (a << by) | (a >> (64 - by)); }
uint64_t mix(uint64_t a) {
  a = (a ^ (a >> 33)) * kOdd2;
  a = (a ^ (a >> 29)) * kOdd1;
  return a ^ (a >> 32);
}

std::array<uint64_t, 2> hash(const void* data, int64_t bytes) {
  uint64_t lane[8];
  for (int i = 0; i < 8; ++i) lane[i] = kOdd1 * uint64_t(2 * i + 1);
  const auto add = [&](const char* at) {
    uint64_t word[8];
    std::memcpy(word, at, sizeof word);
    for (int i = 0; i < 8; ++i) lane[i] = rotate(lane[i] + word[i] * kOdd2, 31) * kOdd1;
  };
  const char* at = static_cast<const char*>(data);
  int64_t left = bytes;
  for (; left >= 64; left -= 64, at += 64) add(at);
  char rest[64] = {};
  std::memcpy(rest, at, size_t(left));
  add(rest);
  std::array<uint64_t, 2> result{uint64_t(bytes), uint64_t(bytes) * kOdd2};
  for (uint64_t value : lane) {
    result[0] = rotate(result[0] ^ mix(value), 27) * kOdd1;
    result[1] = rotate(result[1] ^ mix(value + kOdd2), 23) * kOdd2;
  }
  return {mix(result[0]), mix(result[1])};
}

int64_t positions(const ConvProblem& g, Direction direction) {
  int64_t count = g.n;
  for (int64_t size : direction == Direction::input_grad ? g.input : g.output) count *= size;
  return count;
}

}  // namespace

struct KeptFilters::Store {
  struct Hash {
    size_t operator()(const Key& key) const { return size_t(key.low); }
  };
  struct Entry {
    std::shared_ptr<char> memory;
    int64_t bytes, used;
  };
  std::mutex mutex;
  std::unordered_map<Key, Entry, Hash> entries;
  std::array<Key, 1024> seen{};  // once, lately
  int64_t next_seen = 0, bytes = 0, found = 0;
  int64_t clock = 0;  // calls that looked

  // Room for so many bytes, from what no call of late has asked for. Models too large for all of
  // their filters keep some, rather than each the place of the next.
  bool make_room(int64_t wanted) {
    constexpr int64_t kLately = 4096;
    for (auto i = entries.begin(); bytes + wanted > kMostKeptBytes && i != entries.end();) {
      if (clock - i->second.used < kLately) {
        ++i;
      } else {
        bytes -= i->second.bytes;
        i = entries.erase(i);
      }
    }
    return bytes + wanted <= kMostKeptBytes;
  }
};

// Never destroyed: threads may outlive static objects.
KeptFilters::Store& KeptFilters::store() {
  static auto& the_store = *new Store;
  return the_store;
}

KeptFilters::KeptFilters(const ConvProblem& g, Direction direction, int64_t way, const View& w,
                         int64_t bytes, const ParallelFor& parallel)
    : bytes_(bytes) {
  if (!w.may_repeat || bytes < kLeastBytes || bytes > kMostKeptBytes / 2 ||
      positions(g, direction) > kMostPositions)
    return;
  const Extent& kernel = g.kernel;
  const std::array<int64_t, 5> size{g.k, g.c / g.groups, kernel[0], kernel[1], kernel[2]};
  int64_t count = 1, last = 0;
  for (size_t i = 0; i < 5; ++i) {
    count *= size[i];
    last += (size[i] - 1) * w.stride[i];
  }
  if (last + 1 != count) return;  // with gaps, or elements that overlap

  const int64_t all = count * size_of(g.dtype), parts = (all + kPart - 1) / kPart;
  std::vector<std::array<uint64_t, 2>> hashes(static_cast<size_t>(parts));
  run_tasks(parallel, parts, double(all), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      hashes[size_t(i)] = hash(static_cast<const char*>(w.data) + i * kPart,
                               i + 1 < parts ? kPart : all - i * kPart);
  });
  std::vector<int64_t> what{way, int64_t(direction), int64_t(g.dtype), g.c, g.k, g.groups, bytes};
  for (const Extent* extent :
       {&g.input, &g.kernel, &g.stride, &g.pad_before, &g.pad_after, &g.dilation, &g.output})
    what.insert(what.end(), extent->begin(), extent->end());
  what.insert(what.end(), w.stride.begin(), w.stride.end());
  hashes.push_back(hash(what.data(), int64_t(what.size() * sizeof(int64_t))));
  const auto key = hash(hashes.data(), int64_t(hashes.size() * sizeof hashes[0]));
  key_ = {key[0], key[1]};

  Store& kept = store();
  {
    const std::lock_guard<std::mutex> lock(kept.mutex);
    ++kept.clock;
    const auto entry = kept.entries.find(key_);
    if (entry != kept.entries.end()) {
      entry->second.used = kept.clock;
      memory_ = entry->second.memory;
      packed_ = true;
      ++kept.found;
      return;
    }
    bool again = false;
    for (const Key& before : kept.seen) again = again || before == key_;
    if (!again) {
      kept.seen[size_t(kept.next_seen++ % int64_t(kept.seen.size()))] = key_;
      return;
    }
    if (!kept.make_room(bytes)) return;
  }
  const size_t whole = size_t((bytes + kAlignment - 1) / kAlignment * kAlignment);
  memory_.reset(static_cast<char*>(std::aligned_alloc(kAlignment, whole)), std::free);
}

void KeptFilters::keep() {
  if (!memory_ || packed_) return;
  packed_ = true;
  Store& kept = store();
  const std::lock_guard<std::mutex> lock(kept.mutex);
  if (!kept.make_room(bytes_)) return;
  if (kept.entries.emplace(key_, Store::Entry{memory_, bytes_, kept.clock}).second)
    kept.bytes += bytes_;
}

KeptFilters::State KeptFilters::state() {
  Store& kept = store();
  const std::lock_guard<std::mutex> lock(kept.mutex);
  return {int64_t(kept.entries.size()), kept.bytes, kept.found};
}

void KeptFilters::forget() {
  Store& kept = store();
  const std::lock_guard<std::mutex> lock(kept.mutex);
  kept.entries.clear();
  kept.seen.fill({});
  kept.bytes = kept.found = 0;
}

}  // namespace cnnkern::cpu
