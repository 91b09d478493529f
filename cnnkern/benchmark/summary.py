# SPDX-License-Identifier: BSD-3-Clause
"""How a suite did as a whole: the geometric mean of its ratios, and the layer that did worst."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .results import Row, geometric_mean

__all__ = ["DIRECTIONS", "Group", "count_verdicts", "summarise"]

# In the order in which they are shown.
DIRECTIONS = ("forward", "forward_argmax", "input_grad", "weight_grad")


@dataclass(frozen=True)
class Group:
    """The rows of one suite that differ in nothing but the layer.

    ``mean`` is the geometric mean over the layers of the median of the peer's time / ours, above 1
    we are faster; ``least`` is the smallest of these medians, ``least_name`` its layer. Only rows
    that passed and on which the peer was timed count; where none did, ``count`` is 0 and the
    numbers are NaN. ``share`` is the geometric mean of the least possible time / ours, NaN where
    no limit is known.
    """

    suite: str
    direction: str
    format: str
    dtype: str
    algorithm: str  # as asked for
    peer: str
    count: int
    mean: float
    least: float
    least_name: str
    share: float = math.nan
    verdicts: dict[str, int] = field(default_factory=dict)  # of all rows, timed or not


def summarise(rows: Iterable[Row], peer: str = "torch") -> list[Group]:
    """Summarises rows by suite, direction, format, dtype and algorithm.

    Args:
        rows: of one or several suites.
        peer: whose times ours are held against.

    Returns:
        A group for each that has rows; suites, dtypes and algorithms in the order in which they
        come, then formats and directions in theirs.

    Example:
        >>> def row(name: str, ours: float, torchs: float) -> Row:
        ...     times = {"cnnkern": [ours], "torch": [torchs]}
        ...     return Row("lenet5", name, "conv2d 8x1x28x28 6x1x5x5", "forward", "float32",
        ...                "contiguous", "auto", "passed", times_us=times)
        >>> group, = summarise([row("conv1", 10, 40), row("conv2", 20, 20)])
        >>> group.count, group.mean, group.least, group.least_name
        (2, 2.0, 1.0, 'conv2')
    """
    groups: dict[tuple[str, str, str, str, str], list[Row]] = {}
    first: dict[str, int] = {}  # where a suite, dtype or algorithm comes first
    for row in rows:
        for name in (row.suite, row.dtype, row.algorithm):
            first.setdefault(name, len(first))
        key = (row.suite, row.direction, row.format, row.dtype, row.algorithm)
        groups.setdefault(key, []).append(row)

    def order(key: tuple[str, str, str, str, str]) -> tuple[int, ...]:
        suite, direction, format, dtype, algorithm = key
        place = DIRECTIONS.index(direction) if direction in DIRECTIONS else len(DIRECTIONS)
        return first[suite], first[dtype], first[algorithm], format == "channels_last", place

    return [_group(key, groups[key], peer) for key in sorted(groups, key=order)]


def count_verdicts(rows: Iterable[Row]) -> dict[str, int]:
    """Counts rows by verdict, the most frequent first."""
    return dict(Counter(row.verdict for row in rows).most_common())


def _group(key: tuple[str, str, str, str, str], rows: list[Row], peer: str) -> Group:
    counted = [
        row for row in rows if row.verdict == "passed" and row.timed and row.times_us.get(peer)
    ]
    if not counted:
        nothing = (0, math.nan, math.nan, "", math.nan)
        return Group(*key, peer, *nothing, count_verdicts(rows))
    ratios = [row.ratio(peer).median for row in counted]
    least = min(ratios)
    shares = [row.share_of_bound for row in counted if row.floor_us > 0]
    return Group(
        *key,
        peer,
        len(counted),
        geometric_mean(ratios),
        least,
        counted[ratios.index(least)].name,
        geometric_mean(shares) if shares else math.nan,
        count_verdicts(rows),
    )
