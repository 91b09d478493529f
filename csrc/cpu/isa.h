// SPDX-License-Identifier: BSD-3-Clause
// Which instruction sets the CPU kernels were compiled for, and which one runs.
#pragma once
#include <string>
#include <vector>

namespace cnnkern::cpu {

const char* isa_name();  // the table in use: baseline, avx2, avx512 or avx512_bf16
int isa_lanes();         // its vectors, in float32 values
std::vector<std::string> isas_available();  // on this CPU, the lowest first

}  // namespace cnnkern::cpu
