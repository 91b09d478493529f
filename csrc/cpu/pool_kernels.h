// SPDX-License-Identifier: BSD-3-Clause
// The pooling kernels of one instruction set.
constexpr PoolKernels pool_table = {};
