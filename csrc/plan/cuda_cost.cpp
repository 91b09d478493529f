// SPDX-License-Identifier: BSD-3-Clause
#include "cuda_cost.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cnnkern {

namespace {

// Beginning and storing a tile takes as long as this many terms of its sums.
constexpr double kTermsPerTile = 32;

double tiles_of(const Product& product, const ProductTile& tile) {
  return product.count * std::ceil(product.rows / tile.rows) *
         std::ceil(product.columns / tile.columns);
}

}  // namespace

double tiles_us(const Product& product, const ProductTile& tile, double parts, DataType dtype,
                double flops_per_us, const DeviceTraits& traits) {
  const double sms = static_cast<double>(traits.cores);
  const double waves = std::ceil(tiles_of(product, tile) * parts / sms);
  const double flops = 2 * tile.rows * tile.columns * (product.terms / parts + kTermsPerTile);
  return waves * flops / (flops_per_us / sms * reached_share(tile.share, dtype, traits));
}

double product_us(const Product& product, const std::vector<ProductTile>& tiles, DataType dtype,
                  double flops_per_us, const DeviceTraits& traits) {
  double best = std::numeric_limits<double>::infinity();
  for (const ProductTile& tile : tiles) {
    double parts = 1;
    if (product.part_terms > 0) {
      const double room = std::floor(static_cast<double>(traits.cores) / tiles_of(product, tile));
      parts = std::max(std::min(std::ceil(product.terms / product.part_terms), room), 1.0);
    }
    best = std::min(best, tiles_us(product, tile, parts, dtype, flops_per_us, traits));
  }
  return best;
}

double blas_us(const Product& product, DataType dtype, const DeviceTraits& traits) {
  static const auto& kTensorTiles = *new std::vector<ProductTile>{{128, 128, 0.8}, {64, 64, 0.5}};
  static const auto& kTiles = *new std::vector<ProductTile>{{128, 128, 0.85}, {64, 64, 0.65}};
  if (dtype == DataType::float64) {
    const double flops_per_us =
        peak_flops_per_us(traits, DataType::float32) * traits.cuda.matrix_fp64_share;
    return product_us(product, kTiles, dtype, flops_per_us, traits);
  }
  if (dtype == DataType::float32) {
    return product_us(product, kTiles, dtype, peak_flops_per_us(traits, dtype), traits);
  }
  return product_us(product, kTensorTiles, dtype, traits.cuda.matrix_tflops * 1e6, traits);
}

}  // namespace cnnkern
