// SPDX-License-Identifier: BSD-3-Clause
// The choice of plan.h, remembered: a repeated problem costs less than the operator's own checks.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "../problem/names.h"
#include "../problem/text.h"
#include "plan.h"
#include "plan_file.h"

namespace cnnkern {

namespace {

constexpr size_t kKeySize = 35;
using Key = std::array<int64_t, kKeySize>;

Key key_of(const ConvProblem& g, Direction direction, const std::optional<Algorithm>& named,
           const DeviceTraits& traits) {
  Key key{g.rank,
          g.n,
          g.c,
          g.k,
          g.groups,
          static_cast<int64_t>(g.dtype),
          static_cast<int64_t>(g.format),
          g.bias,
          g.relu,
          g.transposed,
          g.tf32,
          static_cast<int64_t>(direction),
          named ? static_cast<int64_t>(*named) : -1,
          reinterpret_cast<intptr_t>(&traits)};
  size_t next = 14;
  for (const Extent* extent :
       {&g.input, &g.kernel, &g.stride, &g.pad_before, &g.pad_after, &g.dilation, &g.output}) {
    for (int64_t value : *extent) key[next++] = value;
  }
  return key;
}

// A polynomial whose products do not wait for each other.
struct Hash {
  size_t operator()(const Key& key) const {
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;
    uint64_t hash = 0, power = kOdd;
    for (int64_t value : key) {
      hash += static_cast<uint64_t>(value) * power;
      power *= kOdd;
    }
    return hash ^ (hash >> 32);
  }
};

bool logs_plans() {
  static const bool logs = [] {
    const char* value = std::getenv("CNNKERN_LOG");
    return value && (',' + std::string(value) + ',').find(",plan,") != std::string::npos;
  }();
  return logs;
}

void log(const ConvProblem& g, const Plan& plan, const DeviceTraits& traits) {
  std::fprintf(stderr,
               "cnnkern plan: %s: %s -> %s, workspace %lld bytes, predicted %.3g us on %s, bound "
               "by %s%s%s\n",
               to_text(g).c_str(), name_of(plan.direction), plan.algorithm.c_str(),
               static_cast<long long>(plan.workspace_bytes), plan.predicted_us, traits.name.c_str(),
               plan.bound.c_str(), plan.file.empty() ? "" : ", named by ", plan.file.c_str());
}

// Every problem that the process met since plans were loaded. Forgotten altogether where shapes
// never repeat.
Algorithm choose_shared(const Key& key, const ConvProblem& g, Direction direction,
                        const std::string& algorithm, const DeviceTraits& traits,
                        uint64_t generation) {
  constexpr size_t kMost = 1 << 16;
  // Never destroyed: threads may outlive static objects.
  static auto& choices = *new std::unordered_map<Key, Algorithm, Hash>;
  static auto& mutex = *new std::mutex;
  static uint64_t generation_of_choices = 0;
  // Threads that see a load at different times may clear twice; none reads what another one's
  // plans chose.
  const auto renew = [generation] {
    if (generation_of_choices != generation) choices.clear();
    generation_of_choices = generation;
  };
  {
    const std::lock_guard<std::mutex> lock(mutex);
    renew();
    const auto found = choices.find(key);
    if (found != choices.end()) return found->second;
  }
  const Plan made = plan(g, direction, traits, algorithm);
  const Algorithm chosen = *value_of<Algorithm>(kAlgorithms, made.algorithm);
  const std::lock_guard<std::mutex> lock(mutex);
  renew();
  if (choices.size() >= kMost) choices.clear();
  if (choices.emplace(key, chosen).second && logs_plans()) log(g, made, traits);
  return chosen;
}

struct Entry {
  Key key;
  Algorithm chosen;
  uint64_t generation;  // 0: empty
};

}  // namespace

Algorithm choose(const ConvProblem& g, Direction direction, const std::string& algorithm) {
  return choose(g, direction, algorithm, cpu_traits());
}

Algorithm choose(const ConvProblem& g, Direction direction, const std::string& algorithm,
                 const DeviceTraits& traits) {
  const auto named = value_of<Algorithm>(kAlgorithms, algorithm);
  // A name that is none is refused with the names that are.
  if (!named && algorithm != "auto") plan(g, direction, traits, algorithm);
  const Key key = key_of(g, direction, named, traits);
  constexpr size_t kEntries = 64;
  // Not itself thread-local: there is little room where a library asks for a fixed place there.
  static thread_local const auto recent = std::make_unique<std::array<Entry, kEntries>>();
  Entry& entry = (*recent)[Hash()(key) % kEntries];
  const uint64_t generation = plans_generation.load(std::memory_order_acquire);
  if (entry.generation != generation || entry.key != key) {
    const Algorithm chosen = choose_shared(key, g, direction, algorithm, traits, generation);
    entry = {key, chosen, generation};
  }
  return entry.chosen;
}

}  // namespace cnnkern
