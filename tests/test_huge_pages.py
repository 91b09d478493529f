# SPDX-License-Identifier: BSD-3-Clause
"""Memory that is fresh at every call is of huge pages, where the system gives them on request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cnnkern import _C, functional

MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
pytestmark = pytest.mark.skipif(
    not MODE.exists() or "[never]" in MODE.read_text(), reason="this system gives no huge pages"
)
MIB = 1 << 20
HERE = Path(__file__).parent


def mapping(y: Tensor) -> dict[str, str]:
    """What the system says of the memory in the middle of a tensor."""
    middle = y.data_ptr() + y.nbytes // 2
    facts: dict[str, str] | None = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            start, end = (int(text, 16) for text in name.split("-"))
            if facts is not None:
                return facts
            facts = {} if start <= middle < end else None
        elif facts is not None:
            facts[name[:-1]] = " ".join(rest)
    assert facts is not None
    return facts


def asked(y: Tensor) -> bool:
    return "hg" in mapping(y)["VmFlags"].split()


def test_large_results_get_huge_pages():
    x = torch.ones(1, 16, 1024, 1024)  # 64 MiB
    y = functional.avg_pool2d(x, 1)
    assert y.nbytes == 64 * MIB
    assert asked(y)
    kib, unit = mapping(y)["AnonHugePages"].split()
    assert unit == "kB"
    assert int(kib) > 0


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_every_kind_of_result_asks(format):
    x = torch.ones(1, 8, 1024, 1024).to(memory_format=format).requires_grad_()  # 32 MiB
    y = functional.conv2d(x, torch.ones(8, 1, 1, 1), groups=8)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    pooled = functional.max_pool2d(x, 1)
    (dpooled,) = torch.autograd.grad(pooled, x, torch.ones_like(y))
    x16 = torch.ones(1, 32, 1024, 1024, dtype=torch.bfloat16).to(memory_format=format)
    argmax = torch.ops.cnnkern.max_pool(x16, [1, 1], [1, 1], [0] * 4, [1, 1], False, True, [])[1]
    assert argmax.nbytes == 32 * MIB
    results = {"y": y, "dx": dx, "pooled": pooled, "dpooled": dpooled, "argmax": argmax}
    assert [name for name, result in results.items() if not asked(result)] == []


def test_small_results_do_not_ask():
    """In a process of its own: memory that was asked for once may come again as a smaller piece."""
    code = (
        "import torch; from cnnkern import functional; from test_huge_pages import asked, MIB\n"
        "y = functional.avg_pool2d(torch.ones(1, 4, 1024, 1024), 1)\n"
        "print(y.nbytes // MIB, asked(y))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    environment.pop("THP_MEM_ALLOC_ENABLE", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.split() == ["16", "False"]
    assert _C.info()["huge_pages_from"] == 32 * MIB
