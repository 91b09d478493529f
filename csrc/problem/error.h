// SPDX-License-Identifier: BSD-3-Clause
// The one exception of the torch-free parts; torch turns it into RuntimeError. Every text says the
// operator, what was expected, what was given, and the values that led there.
#pragma once
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace cnnkern {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A list that prints as a Python tuple: (64, 16, 3, 3), (3,).
template <class I>
struct Tuple {
  const std::vector<I>& values;
};
template <class I>
Tuple(const std::vector<I>&) -> Tuple<I>;

template <class I>
std::ostream& operator<<(std::ostream& out, const Tuple<I>& tuple) {
  out << '(';
  for (size_t i = 0; i < tuple.values.size(); ++i) out << (i ? ", " : "") << tuple.values[i];
  return out << (tuple.values.size() == 1 ? ",)" : ")");
}

template <class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  std::ostringstream text;
  text << op << ": ";
  (text << ... << parts);
  throw Error(text.str());
}

}  // namespace cnnkern
