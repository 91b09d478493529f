#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# run_checks.sh ISAS PROGRAM...: runs each program once for each instruction set, as many at once as
# there are cores.
set -euo pipefail
read -ra isas <<<"$1"
shift
for program in "$@"; do
  for isa in "${isas[@]}"; do printf '%s\0%s\0' "CNNKERN_ISA=$isa" "$program"; done
done | xargs -0 -n 2 -P "${MAX_JOBS:-1}" env
