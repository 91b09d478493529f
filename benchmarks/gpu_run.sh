#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds, tests, sanitizes and times the CUDA kernels on the machine's GPU, in one call:
#
#   benchmarks/gpu_run.sh [--dry] [OUTDIR] [STAGE...]     stages: build test sanitize bench probe
#
# OUTDIR defaults to $OUT, else ./gpu_run_out; STAGES="build bench" names stages too; all by default.
# Each stage has its own time limit, all together RUN_SECONDS (570). Needs Python with torch (PYTHON,
# else python3), nvcc of its CUDA major, a compiler; no network, no virtual environment, no git.
# --dry needs no GPU: the build is looked at, a handful of tests runs on the emulator, the rest on the
# CPU with tiny problems.
set -euo pipefail
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
exec "${PYTHON:-python3}" "$(dirname "${BASH_SOURCE[0]}")/gpu/run.py" "$@"
