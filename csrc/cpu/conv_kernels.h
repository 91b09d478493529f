// SPDX-License-Identifier: BSD-3-Clause
// The convolution kernels of one instruction set.
#include "conv_strip.h"
#include "conv_tile.h"
#include "conv_store.h"
#include "conv_filters.h"
#include "conv_gather_kernel.h"
#include "conv_weight_grad_kernel.h"
#include "conv_depthwise_kernel.h"

template <class T>
constexpr ConvTypeKernels conv_kernels_of = {lanes<Compute<T>>,
                                             kMaxVectors,
                                             pack_filters<T>,
                                             gather<T>,
                                             weight_grad<T>,
                                             weight_grad_store<T>,
                                             depthwise<T>,
                                             depthwise_weight_grad<T>,
                                             depthwise_weight_grad_store<T>};
constexpr ConvKernels conv_table = {{conv_kernels_of<float>, conv_kernels_of<double>,
                                     conv_kernels_of<half>, conv_kernels_of<bf16>}};
