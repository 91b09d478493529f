# SPDX-License-Identifier: BSD-3-Clause
"""How a suite did as a whole: the geometric mean of its ratios, and the layer that did worst."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .results import Row, geometric_mean

__all__ = ["DIRECTIONS", "Group", "count_verdicts", "layers_of", "summarise"]

# In the order in which they are shown.
DIRECTIONS = ("forward", "forward_argmax", "input_grad", "weight_grad")


@dataclass(frozen=True)
class Group:
    """The convolutions, or the pools, of one suite that differ in nothing but the layer.

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
    layers: str = "convolutions"  # or pools: a mean of both would say nothing of either
    verdicts: dict[str, int] = field(default_factory=dict)  # of all rows, timed or not


def summarise(rows: Iterable[Row], peer: str = "torch") -> list[Group]:
    """Summarises rows by suite, kind of layer, direction, format, dtype and algorithm.

    Args:
        rows: of one or several suites.
        peer: whose times ours are held against.

    Returns:
        A group for each that has rows; suites, dtypes and algorithms in the order in which they
        come, convolutions before pools, then formats and directions in theirs.

    Example:
        >>> def row(name: str, ours: float, torchs: float) -> Row:
        ...     times = {"cnnkern": [ours], "torch": [torchs]}
        ...     return Row("lenet5", name, "conv2d 8x1x28x28 6x1x5x5", "forward", "float32",
        ...                "contiguous", "auto", "passed", times_us=times)
        >>> group, = summarise([row("conv1", 10, 40), row("conv2", 20, 20)])
        >>> group.count, group.mean, group.least, group.least_name
        (2, 2.0, 1.0, 'conv2')
    """
    groups: dict[Key, list[Row]] = {}
    first: dict[str, int] = {}  # where a suite, dtype or algorithm comes first
    for row in rows:
        for name in (row.suite, row.dtype, row.algorithm):
            first.setdefault(name, len(first))
        key = Key(row.suite, layers_of(row), row.dtype, row.algorithm, row.format, row.direction)
        groups.setdefault(key, []).append(row)

    def order(key: Key) -> tuple[Any, ...]:
        place = DIRECTIONS.index(key.direction) if key.direction in DIRECTIONS else len(DIRECTIONS)
        names = (first[key.suite], key.layers, first[key.dtype], first[key.algorithm])
        return (*names, key.format == "channels_last", place)

    return [_group(key, groups[key], peer) for key in sorted(groups, key=order)]


def count_verdicts(rows: Iterable[Row]) -> dict[str, int]:
    """Counts rows by verdict, the most frequent first."""
    return dict(Counter(row.verdict for row in rows).most_common())


class Key(NamedTuple):
    suite: str
    layers: str
    dtype: str
    algorithm: str
    format: str
    direction: str


def layers_of(row: Row) -> str:
    return "pools" if "pool" in row.problem.split(" ", 1)[0] else "convolutions"


def _group(key: Key, rows: list[Row], peer: str) -> Group:
    counted = [
        row for row in rows if row.verdict == "passed" and row.timed and row.times_us.get(peer)
    ]
    ratios = [row.ratio(peer).median for row in counted]
    shares = [row.share_of_bound for row in counted if row.floor_us > 0]
    least = min(ratios, default=math.nan)
    return Group(
        key.suite,
        key.direction,
        key.format,
        key.dtype,
        key.algorithm,
        peer,
        len(counted),
        geometric_mean(ratios) if ratios else math.nan,
        least,
        counted[ratios.index(least)].name if counted else "",
        geometric_mean(shares) if shares else math.nan,
        key.layers,
        count_verdicts(rows),
    )
