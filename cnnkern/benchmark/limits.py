# SPDX-License-Identifier: BSD-3-Clause
"""What the machine can do at most, measured in the same run as what is held against it.

A problem's floor is the longer of two times: its bytes, each tensor read or written once, at the
rate of a copy that touches as many, and its FLOPs, a multiply-add counted twice, at the rate of
multiply-adds in registers (CPU) or of a large matrix product (GPU). Pools only compare and add, so
for them bytes alone count.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch

from .. import _C
from ..problem import Problem
from .clock import CpuClock, CudaClock

__all__ = ["copy_rate_at", "floor", "measure_limits", "precision_of"]

DTYPES = ("float32", "float64", "float16", "bfloat16")
TRIES = 3  # of which the best counts: a limit is what nothing disturbed
CPU_COPIES = [1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20]
CUDA_COPIES = [16 << 20, 64 << 20, 256 << 20, 2 << 30]
MATRIX_SIDE = {"float32": 4096, "float64": 4096, "float16": 8192, "bfloat16": 8192, "tf32": 8192}


def measure_limits(clock: CpuClock | CudaClock, dtypes: tuple[str, ...] = DTYPES) -> dict[str, Any]:
    """FLOP/s by precision and bytes/s of copies by the bytes that they touch (read and write)."""
    sizes = CUDA_COPIES if clock.device == "cuda" else CPU_COPIES
    return {
        "flops": {dtype: _flop_rate(clock, dtype) for dtype in dtypes},
        "copy": [[size, _copy_rate(clock, size)] for size in sizes],
    }


def precision_of(problem: Problem, device: str) -> str:
    """The dtype, or ``tf32`` where a GPU may round so: what a rate of arithmetic is of.

    >>> from cnnkern.problem import parse
    >>> problem = parse("conv2d 1x8x9x9 8x8x3x3 tf32")
    >>> precision_of(problem, "cuda"), precision_of(problem, "cpu")
    ('tf32', 'float32')
    """
    rounded = device == "cuda" and getattr(problem, "tf32", False)
    return "tf32" if rounded else problem.dtype


def copy_rate_at(limits: dict[str, Any], touched: float) -> float:
    """Bytes/s of a copy that touches so many bytes, between the measured sizes by their logarithm.

    >>> copy_rate_at({"copy": [[1 << 20, 40e9], [1 << 22, 20e9]]}, 1 << 21)
    30000000000.0
    """
    table = limits["copy"]
    if touched <= table[0][0]:
        return float(table[0][1])
    for (low, slow), (high, fast) in pairwise(table):
        if touched <= high:
            share = math.log(touched / low) / math.log(high / low)
            return float(slow + (fast - slow) * share)
    return float(table[-1][1])


def floor(
    limits: dict[str, Any], dtype: str, flops: float, touched: float, *, pool: bool
) -> tuple[float, str]:
    """The least possible microseconds, and what they are bound by: FLOPs or bytes."""
    by_bytes = touched / copy_rate_at(limits, touched) * 1e6
    by_flops = 0.0 if pool else flops / limits["flops"][dtype] * 1e6
    return (by_flops, "FLOPs") if by_flops > by_bytes else (by_bytes, "bytes")


def _flop_rate(clock: CpuClock | CudaClock, dtype: str) -> float:
    if clock.device == "cpu":  # 16-bit types are computed in float32
        return max(_C.measure_flops(dtype) for _ in range(TRIES))
    side, tf32 = MATRIX_SIDE[dtype], dtype == "tf32"
    of = torch.float32 if tf32 else getattr(torch, dtype)
    a, b = (torch.randn(side, side, device="cuda").to(of) for _ in range(2))
    matmul: Any = torch.backends.cuda.matmul
    usual, matmul.allow_tf32 = matmul.allow_tf32, tf32
    try:
        return 2 * side**3 / min(clock.time({"": lambda: a @ b}, 0.1)[""]) * 1e6
    finally:
        matmul.allow_tf32 = usual


def _copy_rate(clock: CpuClock | CudaClock, touched: int) -> float:
    source = torch.ones(touched // 8, device=clock.device)
    target = torch.empty_like(source)
    times = [
        t for _ in range(TRIES) for t in clock.time({"": lambda: target.copy_(source)}, 0.1)[""]
    ]
    return touched / min(times) * 1e6
