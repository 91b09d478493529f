#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run_checks.sh PROGRAM...: runs each program once for each instruction set of this machine.
set -euo pipefail
flags=" $(grep -m1 '^flags' /proc/cpuinfo 2>/dev/null || true) "
isas=(baseline)
[[ $flags == *" avx2 "* ]] && isas+=(avx2)
[[ $flags == *" avx512vl "* ]] && isas+=(avx512)
[[ $flags == *" avx512_bf16 "* ]] && isas+=(avx512_bf16)
for program in "$@"; do
  for isa in "${isas[@]}"; do
    echo "$(basename "$program") on $isa"
    CNNKERN_ISA=$isa "$program"
  done
done
