# SPDX-License-Identifier: BSD-3-Clause
"""Power-average pooling of every rank, over the average pool."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ._arguments import Ints, one_per_axis, require_tensors
from ._call import avg_pool, max_pool


def lp_pool(
    op: str,
    rank: int,
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None,
    ceil_mode: bool,
) -> Tensor:
    """Takes norms. `op` is what the user called, the rest its arguments."""
    require_tensors(op, input=input)
    if isinstance(norm_type, (int, float)):
        if norm_type == 0:
            raise ZeroDivisionError(f"{op}: expected norm_type other than 0, got {norm_type}")
        if norm_type == math.inf:
            return _max_pool(op, rank, input.abs(), kernel_size, stride, ceil_mode)
        if norm_type == -math.inf:
            return -_max_pool(op, rank, -input.abs(), kernel_size, stride, ceil_mode)
    elif not isinstance(norm_type, Tensor):
        kind = type(norm_type).__name__
        raise TypeError(f"{op}: expected norm_type to be a number, got {norm_type!r} ({kind})")
    linear = isinstance(norm_type, (int, float)) and norm_type == 1
    powers = input if linear else input.pow(norm_type)
    # Sums, unless a window may reach beyond the input: torch scales those up to a whole window.
    divisor = None if ceil_mode else 1
    sums = avg_pool(op, rank, powers, kernel_size, stride, 0, ceil_mode, True, divisor)
    # Where a sum is 0 the root has no derivative; torch's is 0 there, and so is this one's.
    sums = sums.masked_fill_(sums == 0, 0)
    if ceil_mode:
        sums = sums * math.prod(one_per_axis(op, rank, "kernel_size", kernel_size))
    return sums if linear else sums.pow(1.0 / norm_type)


def _max_pool(
    op: str, rank: int, input: Tensor, kernel_size: Ints, stride: Ints | None, ceil_mode: bool
) -> Tensor:
    y: Any = max_pool(op, rank, input, kernel_size, stride, 0, 1, ceil_mode, False)
    value: Tensor = y
    return value
