#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run_checks.sh PROGRAM...: runs each program once for each instruction set of this machine, as many
# at once as there are cores.
set -euo pipefail
flags=" $(grep -m1 '^flags' /proc/cpuinfo 2>/dev/null || true) "
isas=(baseline)
[[ $flags == *" avx2 "* ]] && isas+=(avx2)
[[ $flags == *" avx512vl "* ]] && isas+=(avx512)
[[ $flags == *" avx512_bf16 "* ]] && isas+=(avx512_bf16)
for program in "$@"; do
  for isa in "${isas[@]}"; do printf '%s\0%s\0' "CNNKERN_ISA=$isa" "$program"; done
done | xargs -0 -n 2 -P "${MAX_JOBS:-1}" env
