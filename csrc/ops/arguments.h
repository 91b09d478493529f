// SPDX-License-Identifier: BSD-3-Clause
// From what torch passes to what the problem library takes, for real sizes and symbolic ones alike.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../problem/check.h"
#include "../problem/check_border.h"
#include "../problem/names.h"

namespace cnnkern::ops {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

template <class I>
using List = c10::ArrayRef<I>;

// Runs f; an Error of the problem library becomes torch's RuntimeError.
template <class F>
auto checked(const F& f) {
  try {
    return f();
  } catch (const Error& error) {
    TORCH_CHECK(false, error.what());
  }
}

template <class I>
List<I> sizes_of(const Tensor& t) {
  if constexpr (std::is_same_v<I, int64_t>)
    return t.sizes();
  else
    return t.sym_sizes();
}

// "conv2d" and its kin: the name that the user knows the operator by.
inline const char* user_name(const char* const (&names)[3], int64_t dim) {
  return names[dim < 3 ? 0 : dim > 5 ? 2 : dim - 3];
}
constexpr const char* kConv[] = {"conv1d", "conv2d", "conv3d"};
constexpr const char* kConvInputGrad[] = {"conv1d input gradient", "conv2d input gradient",
                                          "conv3d input gradient"};
constexpr const char* kConvWeightGrad[] = {"conv1d weight gradient", "conv2d weight gradient",
                                           "conv3d weight gradient"};
constexpr const char* kMaxPool[] = {"max_pool1d", "max_pool2d", "max_pool3d"};
constexpr const char* kAvgPool[] = {"avg_pool1d", "avg_pool2d", "avg_pool3d"};
constexpr const char* kAdaptiveMaxPool[] = {"adaptive_max_pool1d", "adaptive_max_pool2d",
                                            "adaptive_max_pool3d"};
constexpr const char* kAdaptiveAvgPool[] = {"adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                            "adaptive_avg_pool3d"};

inline void check_rank(const char* op, const char* argument, int64_t dim, int64_t expected) {
  TORCH_CHECK(expected >= 3 && expected <= 5, op, ": expected ", argument,
              " with a batch, a channel and 1 to 3 spatial axes, got ", expected, " axes");
  TORCH_CHECK(dim == expected, op, ": expected ", argument, " with ", expected, " axes, got ", dim);
}

inline std::string dtype_name(const Tensor& t) {
  return std::string(c10::getDtypeNames(t.scalar_type()).first);
}

inline void check_types(const char* op, const Tensor& a, const char* a_name, const Tensor& b,
                        const char* b_name) {
  const auto type = a.scalar_type();
  TORCH_CHECK(!b.defined() || b.scalar_type() == type, op, ": expected ", b_name,
              " of the dtype of ", a_name, ", ", dtype_name(a), ", got ", dtype_name(b));
  TORCH_CHECK(!b.defined() || b.device() == a.device(), op, ": expected ", b_name,
              " on the device of ", a_name, ", ", a.device(), ", got ", b.device());
  TORCH_CHECK_NOT_IMPLEMENTED(
      type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16, op,
      ": expected ", a_name, " of dtype float32, float64, float16 or bfloat16, got ",
      dtype_name(a));
}

inline DataType data_type(const Tensor& t) {
  switch (t.scalar_type()) {
    case at::kDouble:
      return DataType::float64;
    case at::kHalf:
      return DataType::float16;
    case at::kBFloat16:
      return DataType::bfloat16;
    default:
      return DataType::float32;
  }
}

// The format that results take from t: channels_last only where t says so.
inline at::MemoryFormat memory_format(const Tensor& t) {
  const auto format = t.dim() == 3 ? at::MemoryFormat::Contiguous : t.suggest_memory_format();
  return format;
}
inline Format format_of(at::MemoryFormat format) {
  return format == at::MemoryFormat::Contiguous ? Format::contiguous : Format::channels_last;
}

// A bias holds one value a channel of the result.
template <class I>
void check_bias(const char* op, const Tensor& bias, const Tensor& input, const I& channels) {
  if (!bias.defined()) return;
  check_types(op, input, "input", bias, "bias");
  TORCH_CHECK(bias.dim() == 1 && sizes_of<I>(bias)[0] == channels, op, ": expected bias of shape (",
              channels, "), got ", sizes_of<I>(bias));
}

// What is added to a result has its shape.
template <class I>
void check_residual(const char* op, const Tensor& residual, const Tensor& input,
                    const std::vector<I>& shape) {
  check_types(op, input, "input", residual, "residual");
  TORCH_CHECK(sizes_of<I>(residual) == List<I>(shape), op, ": expected residual of shape ",
              List<I>(shape), ", got ", sizes_of<I>(residual));
}

inline Border border_of(const char* op, std::string_view padding_mode) {
  const auto border = value_of<Border>(kBorders, std::string(padding_mode));
  TORCH_CHECK_VALUE(border.has_value(), op, ": expected padding_mode to be 'zeros', 'reflect', ",
                    "'replicate' or 'circular', got '", padding_mode, "'");
  return *border;
}

template <class I>
ConvArguments<I> conv_arguments(const char* op, List<I> input, List<I> weight, List<I> stride,
                                List<I> padding, List<I> dilation, const I& groups) {
  return {op,
          int64_t(input.size()) - 2,
          input.vec(),
          weight.vec(),
          stride.vec(),
          padding.vec(),
          dilation.vec(),
          groups};
}

template <class I>
PoolArguments<I> pool_arguments(PoolKind kind, List<I> input, List<I> kernel, List<I> stride,
                                List<I> padding, List<I> dilation, bool ceil_mode,
                                bool count_include_pad, const I& divisor,
                                List<I> output_size = {}) {
  const int64_t dim = input.size();
  const bool max = kind == PoolKind::max;
  const char* const op = output_size.empty()
                             ? user_name(max ? kMaxPool : kAvgPool, dim)
                             : user_name(max ? kAdaptiveMaxPool : kAdaptiveAvgPool, dim);
  check_rank(op, "input", dim, dim);
  return {op,           dim - 2,           kind,          input.vec(),
          kernel.vec(), stride.vec(),      padding.vec(), dilation.vec(),
          ceil_mode,    count_include_pad, divisor,       output_size.vec()};
}

constexpr int64_t kByteTaps = 256;
inline at::ScalarType argmax_type(int64_t taps) { return taps <= kByteTaps ? at::kByte : at::kInt; }

}  // namespace cnnkern::ops
