// SPDX-License-Identifier: BSD-3-Clause
// Packed filters, kept from call to call for as long as the same weights come again: at small
// batches packing takes about as long as the convolution. They are found by a hash of the weights'
// values and of what they were packed for, so they cannot be stale, whoever changed the weights and
// however.
#pragma once
#include <memory>

#include "../problem/conv_problem.h"
#include "parallel.h"

namespace cnnkern::cpu {

constexpr int64_t kMostKeptBytes = int64_t(128) << 20;  // of the process

class KeptFilters {
 public:
  struct State {
    int64_t count, bytes, found;  // found: calls that did not have to pack
  };
  static State state();
  static void forget();

  // Filters of w, packed in some way (a number for each) into so many bytes. Looks only where
  // w.may_repeat, and where packing is a good part of the work; keeps what comes a second time.
  KeptFilters(const ConvProblem&, Direction, int64_t way, const View& w, int64_t bytes,
              const ParallelFor&);

  char* memory() const { return memory_.get(); }  // null: the caller packs into its own
  bool packed() const { return packed_; }         // memory() holds them
  void keep();                                    // the caller has packed them into memory()

 private:
  struct Key {
    uint64_t low = 0, high = 0;
    bool operator==(const Key& other) const { return low == other.low && high == other.high; }
  };
  struct Store;
  static Store& store();

  Key key_;
  std::shared_ptr<char> memory_;
  int64_t bytes_ = 0;
  bool packed_ = false;
};

}  // namespace cnnkern::cpu
