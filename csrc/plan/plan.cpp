// SPDX-License-Identifier: BSD-3-Clause
#include "plan.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "../problem/names.h"
#include "../problem/text.h"
#include "candidates.h"

namespace cnnkern {

namespace {

// Who comes first serves, unless it refuses; the last serves everything.
const std::array<const ConvCandidate*, 3> kConvolutions{&conv_depthwise, &conv_direct,
                                                        &conv_im2col};

std::string time_text(double us) {
  char text[32];
  const double scale = us < 1e3 ? 1 : us < 1e6 ? 1e3 : 1e6;
  std::snprintf(text, sizeof text, "%.3g %s", us / scale, us < 1e3 ? "us" : us < 1e6 ? "ms" : "s");
  return text;
}

double predicted_us(const Cost& cost, const DeviceTraits& traits) {
  return traits.call_us + std::max(cost.flops_us, cost.bytes_us);
}

Plan plan_of(const char* algorithm, Direction direction, const Cost& cost,
             const DeviceTraits& traits) {
  Plan plan{};
  plan.algorithm = algorithm;
  plan.direction = direction;
  plan.predicted_us = predicted_us(cost, traits);
  plan.bound = cost.flops_us > cost.bytes_us ? "FLOPs" : "bytes";
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

}  // namespace

Direction kernel_direction(const ConvProblem& g, Direction direction) {
  if (!g.transposed || direction == Direction::weight_grad) return direction;
  return direction == Direction::forward ? Direction::input_grad : Direction::forward;
}

Plan plan(const ConvProblem& g, Direction direction, const DeviceTraits& traits,
          const std::string& algorithm) {
  const Direction inner = kernel_direction(g, direction);
  const ConvCandidate* chosen = nullptr;
  bool known = algorithm == "auto";
  for (const ConvCandidate* candidate : kConvolutions) {
    const bool named = algorithm == name_of(candidate->algorithm);
    known = known || named;
    if (chosen || !(named || algorithm == "auto")) continue;
    const std::string reason = candidate->refuse(g, inner);
    if (reason.empty()) {
      chosen = candidate;
    } else if (named) {
      throw Error(op_of(g) + ": algorithm " + algorithm + " does not serve this " +
                  name_of(direction) + ": " + reason);
    }
  }
  if (!known) {
    throw Error(op_of(g) + ": expected algorithm auto, depthwise, direct or im2col, got '" +
                algorithm + "'");
  }
  const Cost cost = chosen->cost(g, inner, traits);
  Plan plan = plan_of(name_of(chosen->algorithm), direction, cost, traits);
  plan.workspace_bytes = is_empty(g) ? 0 : chosen->workspace(g, inner, traits);
  // A weight gradient is a sum over the batch: it has no result of one sample.
  plan.batch_invariant = inner != Direction::weight_grad;
  for (const ConvCandidate* candidate : kConvolutions) {
    if (candidate == chosen) continue;
    std::string reason = candidate->refuse(g, inner);
    if (reason.empty()) {
      reason = "would take " + time_text(predicted_us(candidate->cost(g, inner, traits), traits)) +
               "; " +
               (algorithm == "auto" ? plan.algorithm + " stands before it" : "not the named one");
    }
    plan.refused.push_back({name_of(candidate->algorithm), reason});
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
  plan.batch_invariant = true;
  return plan;
}

}  // namespace cnnkern
