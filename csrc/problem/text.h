// SPDX-License-Identifier: BSD-3-Clause
// A problem is text, the same in test ids, logs, errors, files and on the command line:
//   conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 dtype=bfloat16
// The operator, the input's shape, a convolution's weight shape, then torch's argument names. What
// is absent has torch's default; the canonical form prints nothing else.
#pragma once
#include <string>
#include <variant>

#include "conv_problem.h"
#include "error.h"
#include "pool_problem.h"

namespace cnnkern {

using Problem = std::variant<ConvProblem, PoolProblem>;

// Its text holds the line that was parsed and a caret under the column.
struct TextError : Error {
  TextError(const std::string& message, size_t at) : Error(message), column(at) {}
  size_t column;  // in bytes, from 0
};

Problem parse(const std::string& text);
std::string to_text(const ConvProblem&);
std::string to_text(const PoolProblem&);
std::string op_of(const ConvProblem&);  // what the caller called: conv2d, conv_transpose1d
std::string op_of(const PoolProblem&);
Extent output_padding_of(const ConvProblem&);  // of a transposed convolution

}  // namespace cnnkern
