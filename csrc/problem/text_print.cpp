// SPDX-License-Identifier: BSD-3-Clause
// Problems to their canonical text.
#include <sstream>

#include "names.h"
#include "sizes.h"
#include "text.h"

namespace cnnkern {

namespace {

class Printer {
 public:
  Printer(const std::string& op, int64_t rank) : rank_(rank) { out_ << op; }

  void shape(int64_t first, int64_t second, const Extent& sizes) {
    out_ << ' ' << first << 'x' << second;
    for (int64_t axis = 3 - rank_; axis < 3; ++axis) out_ << 'x' << sizes[axis];
  }

  void list(const char* name, const Extent& values, const Extent& standard) {
    pairs(name, values, values, standard);
  }

  // Nothing where every axis has its default; one value where all axes have the same.
  void pairs(const char* name, const Extent& before, const Extent& after, const Extent& standard) {
    bool absent = true, equal = true;
    for (int64_t i = 3 - rank_; i < 3; ++i) {
      absent = absent && before[i] == standard[i] && after[i] == standard[i];
      equal = equal && before[i] == before[2] && after[i] == after[2];
    }
    if (absent) return;
    out_ << ' ' << name;
    for (int64_t i = equal ? 2 : 3 - rank_; i < 3; ++i) {
      out_ << (i == (equal ? 2 : 3 - rank_) ? '=' : ',') << before[i];
      if (after[i] != before[i]) out_ << ':' << after[i];
    }
  }

  void word(bool present, const std::string& word) {
    if (present) out_ << ' ' << word;
  }

  std::string finish(DataType dtype, Format format) {
    word(dtype != DataType::float32, std::string("dtype=") + name_of(dtype));
    word(format != Format::contiguous, std::string("format=") + name_of(format));
    return out_.str();
  }

 private:
  std::ostringstream out_;
  int64_t rank_;
};

constexpr Extent kZeros{0, 0, 0}, kOnes{1, 1, 1};

std::string with_rank(const char* name, int64_t rank) { return name + std::to_string(rank) + "d"; }

}  // namespace

std::string op_of(const ConvProblem& g) {
  return with_rank(g.transposed ? "conv_transpose" : "conv", g.rank);
}

std::string op_of(const PoolProblem& g) {
  const char* const name = g.kind == PoolKind::max ? "max_pool" : "avg_pool";
  return with_rank(((g.adaptive ? "adaptive_" : "") + std::string(name)).c_str(), g.rank);
}

Extent output_padding_of(const ConvProblem& g) {
  Extent more;
  for (size_t i = 0; i < 3; ++i) {
    more[i] = g.input[i] - conv_transpose_output_size<int64_t>(g.output[i], g.kernel[i],
                                                               g.stride[i], g.pad_before[i],
                                                               g.pad_after[i], g.dilation[i], 0);
  }
  return more;
}

std::string to_text(const ConvProblem& g) {
  Printer out(op_of(g), g.rank);
  if (g.transposed) {
    out.shape(g.n, g.k, g.output);
  } else {
    out.shape(g.n, g.c, g.input);
  }
  out.shape(g.k, g.c / g.groups, g.kernel);
  out.list("stride", g.stride, kOnes);
  out.pairs("padding", g.pad_before, g.pad_after, kZeros);
  if (g.transposed) {
    out.list("output_padding", output_padding_of(g), kZeros);
  }
  out.list("dilation", g.dilation, kOnes);
  // Shapes of a convolution tell its groups, unless there are no channels.
  out.word(g.groups != 1 && (g.transposed || g.c == 0), "groups=" + std::to_string(g.groups));
  out.word(g.bias, "bias");
  out.word(g.relu, "relu");
  out.word(g.tf32, "tf32");
  return out.finish(g.dtype, g.format);
}

std::string to_text(const PoolProblem& g) {
  Printer out(op_of(g), g.rank);
  out.shape(g.n, g.c, g.input);
  if (g.adaptive) {
    constexpr Extent kNone{-1, -1, -1};
    out.list("output", g.output, kNone);
    return out.finish(g.dtype, g.format);
  }
  out.list("kernel", g.kernel, kZeros);
  out.list("stride", g.stride, g.kernel);
  out.pairs("padding", g.pad_before, g.pad_after, kZeros);
  out.list("dilation", g.dilation, kOnes);
  out.word(g.ceil_mode, "ceil");
  out.word(g.kind == PoolKind::avg && !g.count_include_pad, "count_include_pad=false");
  out.word(g.divisor != 0, "divisor=" + std::to_string(g.divisor));
  return out.finish(g.dtype, g.format);
}

}  // namespace cnnkern
