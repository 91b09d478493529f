// The vocabulary that every part of the project shares. No torch, no CUDA.
#pragma once
#include <array>
#include <cstdint>

namespace cnnkern {

enum class DataType : uint8_t { float32, float64, float16, bfloat16 };
enum class Format : uint8_t { contiguous, channels_last };
enum class Direction : uint8_t { forward, input_grad, weight_grad };
enum class Algorithm : uint8_t { direct, depthwise, im2col, winograd, implicit_gemm };

// Depth, height, width. Problems of rank 1 and 2 have size 1 (padding 0) on their leading axes.
using Extent = std::array<int64_t, 3>;

constexpr int64_t size_of(DataType type) {
  return type == DataType::float64 ? 8 : type == DataType::float32 ? 4 : 2;
}

}  // namespace cnnkern
