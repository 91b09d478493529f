// SPDX-License-Identifier: BSD-3-Clause
// The convolution kernels of one instruction set.
constexpr ConvKernels conv_table = {};
