# SPDX-License-Identifier: BSD-3-Clause
"""The operators' CUDA half up to the driver: fake_cuda/checks.py, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cnnkern import _C

HERE = Path(__file__).resolve().parent
BUILT = (HERE.parent / "build" / "fake_cuda" / "fake_cuda.so").exists()


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch has a CUDA backend of its own")
@pytest.mark.skipif(not _C.info()["cuda"], reason="cnnkern was built without CUDA")
@pytest.mark.skipif(not BUILT, reason="not built: make build/fake_cuda/fake_cuda.so")
def test_cuda_tensors_without_a_gpu():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
    checks = HERE / "fake_cuda" / "checks.py"
    done = subprocess.run(
        [*command, str(checks)], capture_output=True, text=True, cwd=HERE.parent, timeout=200
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
