// SPDX-License-Identifier: BSD-3-Clause
// Included once by each isa_*.cpp, which has set CNNKERN_ISA, CNNKERN_WIDTH, CNNKERN_REGISTERS and
// the target pragma. Only kernel headers may be included from here on, and each of them is part of
// this anonymous namespace: so one symbol leaves an instruction set, its table.
namespace cnnkern::cpu {
namespace CNNKERN_ISA {
namespace {
#include "vec.h"
#include "conv_kernels.h"
#include "pool_kernels.h"
#include "flops_kernel.h"
}  // namespace
}  // namespace CNNKERN_ISA

#define CNNKERN_PASTE(a, b) a##b
#define CNNKERN_NAME(isa) CNNKERN_PASTE(isa, _kernels)
#define CNNKERN_QUOTE(isa) #isa
#define CNNKERN_TEXT(isa) CNNKERN_QUOTE(isa)
extern const Kernels CNNKERN_NAME(CNNKERN_ISA) = {
    CNNKERN_TEXT(CNNKERN_ISA), CNNKERN_ISA::lanes<float>, &CNNKERN_ISA::conv_table,
    &CNNKERN_ISA::pool_table, &CNNKERN_ISA::flops_table};
}  // namespace cnnkern::cpu
