// SPDX-License-Identifier: BSD-3-Clause
// The pooling kernels of one instruction set.
#include "pool_window.h"
#include "planes.h"
#include "pool_rows.h"
#include "pool_lines.h"
#include "pool_channels.h"
#include "max_pool_direct.h"
#include "max_pool.h"
#include "max_pool_scatter.h"
#include "max_pool_pairs.h"
#include "max_pool_grad.h"
#include "avg_pool.h"

constexpr PoolKernels pool_table = {
    {max_pool<float>, max_pool<double>, max_pool<half>, max_pool<bf16>},
    {{max_pool_argmax<float, uint8_t>, max_pool_argmax<float, int32_t>},
     {max_pool_argmax<double, uint8_t>, max_pool_argmax<double, int32_t>},
     {max_pool_argmax<half, uint8_t>, max_pool_argmax<half, int32_t>},
     {max_pool_argmax<bf16, uint8_t>, max_pool_argmax<bf16, int32_t>}},
    {{max_pool_grad<float, uint8_t>, max_pool_grad<float, int32_t>},
     {max_pool_grad<double, uint8_t>, max_pool_grad<double, int32_t>},
     {max_pool_grad<half, uint8_t>, max_pool_grad<half, int32_t>},
     {max_pool_grad<bf16, uint8_t>, max_pool_grad<bf16, int32_t>}},
    {avg_pool<float>, avg_pool<double>, avg_pool<half>, avg_pool<bf16>},
    {avg_pool_grad<float>, avg_pool_grad<double>, avg_pool_grad<half>, avg_pool_grad<bf16>},
};
