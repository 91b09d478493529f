// SPDX-License-Identifier: BSD-3-Clause
// The convolution kernels of one instruction set.
#include "conv_strip.h"
#include "conv_tile.h"
#include "conv_store.h"
#include "conv_filters.h"
#include "conv_gather_kernel.h"
#include "conv_pixels_kernel.h"
#include "conv_weight_grad_kernel.h"
#include "conv_depthwise_kernel.h"
#include "conv_winograd_kernel.h"

template <class T>
constexpr ConvTypeKernels conv_kernels_of = {lanes<Compute<T>>,
                                             kMaxVectors,
                                             pack_filters<T>,
                                             gather<T>,
                                             pixels<T>,
                                             weight_grad<T>,
                                             weight_grad_store<T>,
                                             depthwise<T>,
                                             depthwise_weight_grad<T>,
                                             depthwise_weight_grad_store<T>,
                                             {},
                                             {}};
template <class T>
constexpr ConvTypeKernels with_winograd() {
  ConvTypeKernels k = conv_kernels_of<T>;
  k.winograd_filters = winograd_filters<float>;
  k.winograd = winograd<T>;
  return k;
}
constexpr ConvKernels conv_table = {{with_winograd<float>(), conv_kernels_of<double>,
                                     with_winograd<half>(), with_winograd<bf16>()}};
