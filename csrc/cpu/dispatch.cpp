// SPDX-License-Identifier: BSD-3-Clause
#include <cstdlib>
#include <stdexcept>

#include "isa.h"
#include "kernels.h"

namespace cnnkern::cpu {
namespace {

std::vector<const Kernels*> usable_tables() {
  std::vector<const Kernels*> tables{&baseline_kernels};
#if defined(__x86_64__)
  // __builtin_cpu_supports asks the operating system too: does it save the wide registers?
  const auto avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const auto avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx2) tables.push_back(&avx2_kernels);
  if (avx512) tables.push_back(&avx512_kernels);
  if (avx512 && __builtin_cpu_supports("avx512bf16")) tables.push_back(&avx512_bf16_kernels);
#endif
  return tables;
}

const Kernels* choose() {
  const auto tables = usable_tables();
  const char* wanted = std::getenv("CNNKERN_ISA");
  if (!wanted || !*wanted) return tables.back();
  std::string names;
  for (const Kernels* table : tables) {
    if (table->name == std::string(wanted)) return table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  throw std::runtime_error("CNNKERN_ISA: expected an instruction set of this CPU (" + names +
                           "), got " + wanted);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels* const chosen = choose();
  return *chosen;
}

const char* isa_name() { return kernels().name; }
int isa_lanes() { return kernels().lanes; }

std::vector<std::string> isas_available() {
  std::vector<std::string> names;
  for (const Kernels* table : usable_tables()) names.push_back(table->name);
  return names;
}

}  // namespace cnnkern::cpu
