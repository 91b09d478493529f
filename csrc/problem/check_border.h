// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "border.h"
#include "check_conv.h"

namespace cnnkern {

// What surrounds the input is read from the input, each element at most once more on each side.
template <class I>
void check_border(const ConvArguments<I>& a, Border border) {
  if (border == Border::zeros) return;
  for (int64_t i = 0; i < a.rank; ++i) {
    const I& size = a.input[i + 2];
    for (const I& pad : {a.padding[2 * i], a.padding[2 * i + 1]}) {
      const bool fits = border == Border::reflect    ? pad < size || pad == I(0)
                        : border == Border::circular ? pad <= size
                                                     : size > I(0) || pad == I(0);
      if (fits) continue;
      fail(a.op, "expected ",
           border == Border::reflect    ? "padding < input size"
           : border == Border::circular ? "padding <= input size"
                                        : "an input size >= 1",
           " where padding_mode is '", name_of(border), "', got padding = (", a.padding[2 * i],
           ", ", a.padding[2 * i + 1], ") and input size = ", size, " on axis ",
           detail::axis_name(a.rank, i));
    }
  }
}

}  // namespace cnnkern
