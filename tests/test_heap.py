# SPDX-License-Identifier: BSD-3-Clause
"""Outputs and workspaces between guards, in a process with glibc's debugging malloc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cases import AVG_POOL, CONV, CONV_TRANSPOSE, MAX_POOL, lines, variants

LIBRARY = "libc_malloc_debug.so.0"


def _run(problems: list[str], fill: str) -> subprocess.CompletedProcess[str]:
    # Blocks that would be mapped apart get no guards: keep them all in the heap.
    environment = os.environ | {
        "LD_PRELOAD": LIBRARY,
        "GLIBC_TUNABLES": f"glibc.malloc.check=3:glibc.malloc.perturb={fill}"
        ":glibc.malloc.mmap_threshold=1073741824",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    return subprocess.run(
        [sys.executable, "-m", "support.heap"],
        input="\n".join(problems),
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_heap_stays_whole(dtype):
    probe = _run([], "1")
    if "cannot be preloaded" in probe.stderr:
        pytest.skip(f"{LIBRARY} is not there: glibc has it from 2.34 on")
    problems = variants(lines(CONV, CONV_TRANSPOSE, MAX_POOL, AVG_POOL), dtypes=(dtype,))
    done = _run(problems, "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{len(problems)} problems ok\n"
