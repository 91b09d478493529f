// SPDX-License-Identifier: BSD-3-Clause
// Which algorithm serves a problem, what it costs, and why each other one does not. A pure
// function of problem, direction, traits and the plan file in force (plan_file.h): no device is
// asked and nothing is timed.
#pragma once
#include <string>
#include <vector>

#include "../problem/conv_problem.h"
#include "../problem/error.h"
#include "../problem/pool_problem.h"
#include "traits.h"

namespace cnnkern {

struct Refusal {
  std::string algorithm, reason;
};

struct Plan {
  std::string algorithm;
  Direction direction;
  std::string tile;         // of a matrix product: ROWSxCOLUMNS of a block; empty where none is cut
  int64_t split;            // blocks that share a sum
  int64_t workspace_bytes;  // beside inputs and outputs, at most; independent of the batch
  double predicted_us;
  std::string bound;     // what takes the longer: FLOPs or bytes
  bool batch_invariant;  // by this algorithm a sample's result has the same bits in any batch
  double flops, bytes;   // the least arithmetic and traffic of the problem
  // FILE:LINE of the plan file that names the algorithm, and who would serve without it; empty
  // where no file does.
  std::string file, otherwise;
  std::vector<Refusal> refused;
};

// On a CPU the first of an ordered list that does not refuse serves, whatever the batch; on a GPU
// the one that is predicted to be fastest, which may be another one for another batch. A plan file
// may name another one for the very problem. Directions
// are the caller's: the forward of a transposed convolution is the input gradient of the
// convolution that the problem holds. A named algorithm serves, or its reason is thrown.
Plan plan(const ConvProblem&, Direction, const DeviceTraits&,
          const std::string& algorithm = "auto");
Plan plan(const PoolProblem&, Direction, const DeviceTraits&,
          const std::string& algorithm = "auto");

// Why an algorithm does not serve on devices of a kind; empty: it serves.
std::string refusal(const ConvProblem&, Direction, Algorithm, DeviceKind);

// What the convolution of the problem computes in a direction of the caller.
Direction kernel_direction(const ConvProblem&, Direction);

// Plan::workspace_bytes of an algorithm that serves: arithmetic alone, nothing is allocated.
int64_t workspace_bytes(const ConvProblem&, Direction, Algorithm, const DeviceTraits&);

// plan(...).algorithm, remembered by problem and device until plans are loaded; a device is known
// by the address of its traits, which live as long as the process. CNNKERN_LOG=plan prints a line
// to stderr for each new one.
Algorithm choose(const ConvProblem&, Direction, const std::string& algorithm, const DeviceTraits&);
Algorithm choose(const ConvProblem&, Direction, const std::string& algorithm,
                 DeviceTraits&&) = delete;
// On this machine's processor.
Algorithm choose(const ConvProblem&, Direction, const std::string& algorithm);

}  // namespace cnnkern
