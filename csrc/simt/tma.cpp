// SPDX-License-Identifier: BSD-3-Clause
// The tensor copies of sm_90: which rows of memory a box stands for. mbarrier.cpp moves them.
#include "async.h"
#include "instructions.h"
#include "report.h"

namespace simt {
namespace {

void check_box(const TensorMap& map, void* pc) {
  if (map.cols * map.element != 128)
    fail("a tensor copy of rows of " + std::to_string(map.cols * map.element) +
             " bytes; the model knows the 128-byte swizzle alone",
         at(pc));
}

}  // namespace

// From pixel (w, h, n) on: W fastest, each axis within [lower, dim + upper); every pixel's row is
// read at the filter's offset from it, and is zero where that lies outside of the tensor.
void tma_im2col(void* to, const TensorMap& map, int c, int w, int h, int n, unsigned w_offset,
                unsigned h_offset, uint64_t* bar) {
  void* pc = __builtin_return_address(0);
  check_box(map, pc);
  const int dim_w = int(map.dim[1]), dim_h = int(map.dim[2]), dim_n = int(map.dim[3]);
  std::vector<const void*> rows(map.rows);
  for (const void*& row : rows) {
    const int x = w + int(w_offset), y = h + int(h_offset);
    const bool inside = x >= 0 && x < dim_w && y >= 0 && y < dim_h && n < dim_n;
    const size_t pixel = (size_t(n) * map.dim[2] + size_t(y)) * map.dim[1] + size_t(x);
    row = inside ? map.base + (pixel * map.dim[0] + size_t(c)) * map.element : nullptr;
    if ((w += int(map.stride[0])) < dim_w + map.upper[0]) continue;
    w = map.lower[0];
    if ((h += int(map.stride[1])) < dim_h + map.upper[1]) continue;
    h = map.lower[1];
    ++n;
  }
  bulk_copy(to, rows, map.cols * map.element, bar, pc);
}

void tma_tile(void* to, const TensorMap& map, int col, int row, uint64_t* bar) {
  void* pc = __builtin_return_address(0);
  check_box(map, pc);
  std::vector<const void*> rows(map.rows);
  for (size_t r = 0; r < rows.size(); ++r) {
    const size_t at_row = size_t(row) + r;
    rows[r] = at_row < map.dim[1] ? map.base + (at_row * map.dim[0] + size_t(col)) * map.element
                                  : nullptr;
  }
  bulk_copy(to, rows, map.cols * map.element, bar, pc);
}

}  // namespace simt
