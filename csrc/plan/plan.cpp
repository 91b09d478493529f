// SPDX-License-Identifier: BSD-3-Clause
#include "plan.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "../problem/names.h"
#include "../problem/text.h"
#include "candidates.h"
#include "plan_file.h"

namespace cnnkern {

namespace {

// In the order of preference. On a CPU who comes first serves, unless it refuses or is passed over,
// and the last serves everything; on a CUDA device it is the one that is predicted to be fastest,
// and direct serves everything.
using Candidates = std::vector<const ConvCandidate*>;
const Candidates kCpu{&cpu_depthwise, &cpu_winograd, &cpu_direct, &cpu_im2col};
const Candidates kCuda{&cuda_depthwise, &cuda_implicit_gemm, &cuda_direct, &cuda_im2col};

const Candidates& candidates_of(DeviceKind kind) { return kind == DeviceKind::cpu ? kCpu : kCuda; }

std::string time_text(double us) {
  char text[32];
  const double scale = us < 1e3 ? 1 : us < 1e6 ? 1e3 : 1e6;
  std::snprintf(text, sizeof text, "%.3g %s", us / scale, us < 1e3 ? "us" : us < 1e6 ? "ms" : "s");
  return text;
}

double predicted_us(const Cost& cost, const DeviceTraits& traits) {
  return traits.call_us + cost.launches_us + cost.moves_us + std::max(cost.flops_us, cost.bytes_us);
}

Plan plan_of(const char* algorithm, Direction direction, const Cost& cost,
             const DeviceTraits& traits) {
  Plan plan{};
  plan.algorithm = algorithm;
  plan.direction = direction;
  plan.split = 1;
  plan.predicted_us = predicted_us(cost, traits);
  plan.bound = cost.flops_us > cost.bytes_us + cost.moves_us ? "FLOPs" : "bytes";
  plan.flops = cost.flops;
  plan.bytes = cost.bytes;
  return plan;
}

// Nothing is computed, so nothing is cut into blocks either.
bool is_empty(const ConvProblem& g) {
  bool empty = g.n == 0 || g.c == 0 || g.k == 0;
  for (size_t i = 0; i < 3; ++i) empty = empty || g.input[i] == 0 || g.output[i] == 0;
  return empty;
}

struct Offer {
  const ConvCandidate* candidate;
  std::string refusal;      // empty: it serves
  std::string passed_over;  // empty: it may be chosen without being named
  Cost cost;                // of one that serves
};
using Offers = std::vector<Offer>;

Offers offers_of(const ConvProblem& g, Direction inner, const DeviceTraits& traits) {
  Offers offers;
  for (const ConvCandidate* candidate : candidates_of(traits.kind)) {
    Offer offer{candidate, candidate->refuse(g, inner), "", Cost{}};
    if (offer.refusal.empty()) {
      offer.cost = candidate->cost(g, inner, traits);
      if (candidate->pass_over) offer.passed_over = candidate->pass_over(g, inner);
    }
    offers.push_back(offer);
  }
  return offers;
}

const Offer& first_or_fastest(const Offers& offers, const DeviceTraits& traits) {
  const Offer* best = nullptr;
  for (const Offer& offer : offers) {
    if (!offer.refusal.empty() || !offer.passed_over.empty()) continue;
    const bool faster = best && traits.kind == DeviceKind::cuda &&
                        predicted_us(offer.cost, traits) < predicted_us(best->cost, traits);
    if (!best || faster) best = &offer;
  }
  return *best;
}

const Offer& named(const Offers& offers, const std::string& algorithm, const ConvProblem& g,
                   Direction direction) {
  for (const Offer& offer : offers) {
    if (algorithm != name_of(offer.candidate->algorithm)) continue;
    if (offer.refusal.empty()) return offer;
    throw Error(op_of(g) + ": algorithm " + algorithm + " does not serve this " +
                name_of(direction) + ": " + offer.refusal);
  }
  if (value_of<Algorithm>(kAlgorithms, algorithm))
    throw Error(op_of(g) + ": algorithm " + algorithm + " does not serve this " +
                name_of(direction) + ": it has no kernel for this device");
  throw Error(op_of(g) +
              ": expected algorithm auto, depthwise, direct, im2col, implicit_gemm or winograd, "
              "got '" +
              algorithm + "'");
}

// Of the plan file in force, which may be of before an algorithm refused.
const Offer& named(const Offers& offers, const FilePlan& file, const ConvProblem& g,
                   Direction direction) {
  try {
    return named(offers, file.algorithm, g, direction);
  } catch (const Error& error) {
    throw Error(file.where + ": " + error.what());
  }
}

template <class Problem>
std::optional<FilePlan> planned_by_file(const Problem& g, Direction direction,
                                        const DeviceTraits& traits) {
  const auto file = plans_in_force();
  return file ? file->find(g, direction, traits) : std::nullopt;
}

// Why a candidate that would serve does not.
std::string reason_of(const Offer& other, const Plan& plan, bool automatic,
                      const DeviceTraits& traits) {
  const char* rule = traits.kind == DeviceKind::cpu ? " stands before it" : " is predicted faster";
  return "would take " + time_text(predicted_us(other.cost, traits)) + "; " +
         (!plan.file.empty()          ? plan.file + " names " + plan.algorithm
          : !automatic                ? "not the named one"
          : other.passed_over.empty() ? plan.algorithm + rule
                                      : other.passed_over);
}

}  // namespace

Direction kernel_direction(const ConvProblem& g, Direction direction) {
  if (!g.transposed || direction == Direction::weight_grad) return direction;
  return direction == Direction::forward ? Direction::input_grad : Direction::forward;
}

std::string refusal(const ConvProblem& g, Direction direction, Algorithm algorithm,
                    DeviceKind kind) {
  for (const ConvCandidate* candidate : candidates_of(kind)) {
    if (candidate->algorithm == algorithm) {
      return candidate->refuse(g, kernel_direction(g, direction));
    }
  }
  return "it has no kernel for this device";
}

int64_t workspace_bytes(const ConvProblem& g, Direction direction, Algorithm algorithm,
                        const DeviceTraits& traits) {
  if (is_empty(g)) return 0;
  for (const ConvCandidate* candidate : candidates_of(traits.kind)) {
    if (candidate->algorithm != algorithm) continue;
    return candidate->workspace(g, kernel_direction(g, direction), traits);
  }
  return 0;
}

Plan plan(const ConvProblem& g, Direction direction, const DeviceTraits& traits,
          const std::string& algorithm) {
  const Direction inner = kernel_direction(g, direction);
  const bool automatic = algorithm == "auto";
  const auto offers = offers_of(g, inner, traits);
  const auto file = automatic ? planned_by_file(g, direction, traits) : std::nullopt;
  const Offer& chosen = file        ? named(offers, *file, g, direction)
                        : automatic ? first_or_fastest(offers, traits)
                                    : named(offers, algorithm, g, direction);
  const ConvCandidate& candidate = *chosen.candidate;
  Plan plan = plan_of(name_of(candidate.algorithm), direction, chosen.cost, traits);
  if (file) {
    plan.file = file->where;
    plan.otherwise = name_of(first_or_fastest(offers, traits).candidate->algorithm);
  }
  plan.workspace_bytes = workspace_bytes(g, direction, candidate.algorithm, traits);
  if (candidate.tiling && !is_empty(g)) {
    const Tiling tiling = candidate.tiling(g, inner, traits);
    plan.tile = tiling.tile;
    plan.split = tiling.split;
  }
  // A weight gradient is a sum over the batch: it has no result of one sample.
  plan.batch_invariant = candidate.batch_invariant && inner != Direction::weight_grad;
  for (const Offer& other : offers) {
    if (&other == &chosen) continue;
    plan.refused.push_back(
        {name_of(other.candidate->algorithm),
         other.refusal.empty() ? reason_of(other, plan, automatic, traits) : other.refusal});
  }
  return plan;
}

Plan plan(const PoolProblem& g, Direction direction, const DeviceTraits& traits,
          const std::string& algorithm) {
  const PoolCandidate& candidate = g.kind == PoolKind::max ? max_pool : avg_pool;
  if (direction == Direction::weight_grad) throw Error(op_of(g) + ": has no weight gradient");
  if (algorithm != "auto" && algorithm != candidate.name) {
    throw Error(op_of(g) + ": expected algorithm auto or " + candidate.name + ", got '" +
                algorithm + "'");
  }
  Plan plan = plan_of(candidate.name, direction, candidate.cost(g, direction, traits), traits);
  if (algorithm == "auto") {
    if (const auto file = planned_by_file(g, direction, traits)) {
      plan.file = file->where;
      plan.otherwise = candidate.name;
    }
  }
  plan.batch_invariant = true;
  return plan;
}

}  // namespace cnnkern
