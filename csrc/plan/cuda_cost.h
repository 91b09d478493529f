// SPDX-License-Identifier: BSD-3-Clause
// What tiles over the multiprocessors make of a matrix product on a CUDA device.
#pragma once
#include <vector>

#include "cost.h"

namespace cnnkern {

// count products of rows x columns sums, of so many terms each. A sum may be split into parts of at
// least part_terms, which other multiprocessors compute; 0: it may not.
struct Product {
  double count, rows, columns, terms, part_terms;
};

// share: of the multiply-add rate, what a multiprocessor full of such tiles reaches.
struct ProductTile {
  double rows, columns, share;
};

// As many waves over the multiprocessors as there are, each as long as a whole tile. Each sum is
// made of so many parts, which other multiprocessors compute.
double tiles_us(const Product&, const ProductTile&, double parts, DataType, double flops_per_us,
                const DeviceTraits&);

// By the best of the tiles, in as many parts as fill the multiprocessors.
double product_us(const Product&, const std::vector<ProductTile>&, DataType, double flops_per_us,
                  const DeviceTraits&);

// By torch's matrix product, which is cuBLAS: tensor cores for 16-bit types, and for float64 where
// they know it; float32 exactly.
double blas_us(const Product&, DataType, const DeviceTraits&);

}  // namespace cnnkern
