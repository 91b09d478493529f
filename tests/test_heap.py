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


def _run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    # Blocks that would be mapped apart get no guards: keep them all in the heap.
    environment = os.environ | {
        "LD_PRELOAD": LIBRARY,
        "GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.perturb=1"
        ":glibc.malloc.mmap_threshold=1073741824",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    return subprocess.run(
        [sys.executable, *command],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def _needs_the_library():
    if "cannot be preloaded" in _run("-c", "").stderr:
        pytest.skip(f"{LIBRARY} is not there: glibc has it from 2.34 on")


@pytest.mark.parametrize(("past", "dies"), [(0, False), (1, True)], ids=["inside", "past the end"])
def test_guards_are_live(past, dies):
    script = (
        "import ctypes, torch, cnnkern; y = cnnkern.functional.max_pool1d(torch.ones(1, 1, 30), 2);"
        f"ctypes.memset(y.data_ptr() + y.nbytes - 1 + {past}, 0, 1); del y; print('alive')"
    )
    done = _run("-c", script)
    assert ("alive" not in done.stdout) == dies


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_heap_stays_whole(dtype):
    problems = variants(lines(CONV, CONV_TRANSPOSE, MAX_POOL, AVG_POOL), dtypes=(dtype,))
    done = _run("-m", "support.heap", stdin="\n".join(problems))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"{len(problems)} problems ok\n"
