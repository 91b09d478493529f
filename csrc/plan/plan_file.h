// SPDX-License-Identifier: BSD-3-Clause
// Plans that people measured and wrote down, in place of the choice of plan.h:
//   device avx2
//   conv2d 8x64x56x56 64x64x3x3 padding=1 -> forward im2col, weight_grad direct  # a comment
// An entry is for one problem on one device (DeviceTraits::name), in the directions that it names.
// Bias and relu come after the sums, so that an entry is for the problem with and without them.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "../problem/text.h"
#include "traits.h"

namespace cnnkern {

// What runs, in whatever words its caller asked for it: problems and directions with the same key
// are one to a plan file.
std::string plan_key(const Problem&, Direction);

struct FilePlan {
  std::string algorithm, where;  // FILE:LINE
};

class PlanFile {
 public:
  // Of a file's text. Throws Error, "NAME:LINE: ...": a line that is none, a second entry for a
  // problem, an algorithm that does not serve on a device that has a name here.
  PlanFile(const std::string& name, const std::string& text);
  // Throws Error also where the file cannot be read.
  static PlanFile read(const std::string& path);

  std::optional<FilePlan> find(const Problem&, Direction, const DeviceTraits&) const;
  const std::string& name() const { return name_; }
  // How many plans there are for each device, one a direction.
  const std::map<std::string, int64_t>& devices() const { return devices_; }

 private:
  struct Entry {
    std::string algorithm;
    int64_t line;
  };
  void read_line(const std::string& text, int64_t number);
  void read_entry(const std::string& text, size_t arrow, int64_t number);

  std::string name_, device_;  // device_: whose section it is, while the text is read
  std::unordered_map<std::string, Entry> entries_;
  std::map<std::string, int64_t> devices_;
};

// The file in force: that of the environment variable CNNKERN_PLANS, read on first use, or the one
// loaded last; null where there is none. Throws the Error of a bad CNNKERN_PLANS every time.
std::shared_ptr<const PlanFile> plans_in_force();

// Replaces the file in force; without a path there is none. A bad file is an Error and changes
// nothing.
void load_plans(const std::optional<std::string>& path);

// Grows with each load: what was chosen before is out of date. Never 0.
extern std::atomic<uint64_t> plans_generation;

}  // namespace cnnkern
