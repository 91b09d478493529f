# SPDX-License-Identifier: BSD-3-Clause
"""Where each layer stands between what memory and what arithmetic allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .. import _C
from .results import Result, Row

__all__ = ["KINDS", "Point", "Slope", "ceilings", "kind_of", "points", "slopes"]

KINDS = ("convolution", "depthwise", "pool")


@dataclass(frozen=True)
class Point:
    """A row in a roofline."""

    row: Row
    kind: str  # one of KINDS
    intensity: float  # FLOPs a byte, of the least that the problem needs
    rate: float  # FLOP/s, ours
    peer_rate: float | None


@dataclass(frozen=True)
class Slope:
    """The FLOP/s that a rate of bytes allows: ``bytes_per_second * intensity``."""

    name: str  # "memory" or "cache"
    bytes_per_second: float
    touched: float  # bytes that the copy at this rate read and wrote


def points(rows: Iterable[Row], peer: str = "torch") -> list[Point]:
    """Gives the point of each row that was timed and counts FLOPs.

    Args:
        rows: of any suites.
        peer: whose rate stands beside ours, where it was timed.
    """
    found = []
    for row in rows:
        if not row.timed or row.flops <= 0 or row.bytes <= 0:
            continue
        ours = row.us.median
        peer_rate = None
        if row.times_us.get(peer):
            # The ratio of the same rounds, so that what slowed both down cancels.
            peer_rate = row.flops / (ours * row.ratio(peer).median * 1e-6)
        rate = row.flops / (ours * 1e-6)
        found.append(Point(row, kind_of(row.problem), row.flops / row.bytes, rate, peer_rate))
    return found


def slopes(result: Result) -> list[Slope]:
    """Gives memory's rate, and where a smaller copy ran faster that of the caches."""
    copies = result.limits.get("copy", [])
    if not copies:
        return []
    large, fastest = copies[-1], max(copies, key=lambda pair: pair[1])
    found = [Slope("memory", large[1], large[0])]
    if fastest[1] > large[1]:
        found.append(Slope("cache", fastest[1], fastest[0]))
    return found


def ceilings(result: Result) -> dict[str, float]:
    """Gives the FLOP/s of the dtypes that a result has rows of."""
    measured = result.limits.get("flops", {})
    dtypes = dict.fromkeys(row.dtype for row in result.rows)
    return {dtype: measured[dtype] for dtype in dtypes if measured.get(dtype)}


def kind_of(problem: str) -> str:
    """Tells convolutions that mix channels from depthwise ones and from pools.

    >>> kind_of("conv2d 1x8x9x9 8x1x3x3"), kind_of("max_pool2d 1x8x9x9 kernel=2")
    ('depthwise', 'pool')
    """
    parsed = _C.parse(problem)
    if isinstance(parsed, _C.PoolProblem):
        return "pool"
    channels = parsed.input_size[1]
    return "depthwise" if channels > 1 and parsed.groups == channels else "convolution"
