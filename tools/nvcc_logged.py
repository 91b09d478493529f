#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""nvcc_logged.py NVCC ARGUMENT...: runs nvcc and keeps what it says about each kernel.

Beside the object `x.o` it leaves `x.o.log` (the seconds of CPU it took, its arguments, ptxas's
report) and `x.o.d` (the headers; torch asks nvcc for them only where it has CUDA itself). Prints
everything but that report.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

REPORT = re.compile(r"ptxas info    : (?!\()|\s+\d+ bytes stack frame|\s*$")


def cache() -> list[str]:
    """As torch does for the compilers that it calls itself."""
    if os.environ.get("TORCH_NO_COMPILER_WRAPPER"):
        return []
    return next(([name] for name in ("ccache", "sccache") if shutil.which(name)), [])


def main(nvcc: str, *arguments: str) -> int:
    target = Path(arguments[arguments.index("-o") + 1])
    extra = ["-Xptxas", "-v"]
    if "-MD" not in arguments and "-MMD" not in arguments:
        extra += ["-MMD", "-MF", f"{target}.d"]
    result = subprocess.run(
        [*cache(), nvcc, *arguments, *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    head = f"# {spent.ru_utime + spent.ru_stime:.1f} seconds: {shlex.join(arguments)}"
    Path(f"{target}.log").write_text(f"{head}\n{result.stdout}")
    lines = [line for line in result.stdout.splitlines() if not REPORT.match(line)]
    print(*lines, sep="\n", end="\n" if lines else "")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
