# SPDX-License-Identifier: BSD-3-Clause
"""Where time is lost: what each layer takes beyond the least that the machine allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from .. import _C
from .results import Row
from .summary import DIRECTIONS

__all__ = ["CLASSES", "Loss", "class_of", "losses", "sums"]

FEW_CHANNELS = 4

#: In the order in which :func:`class_of` asks.
CLASSES = (
    "few channels",
    "depthwise",
    "grouped",
    "strided",
    "1x1",
    "dense 3x3",
    "other dense",
    "pools",
)


@dataclass(frozen=True)
class Loss:
    """A row that was timed, and what it takes beyond its bound."""

    row: Row
    kind: str  # one of CLASSES

    @property
    def lost_us(self) -> float:
        """Our median less the bound of the same run; nothing where a cache beats the bound."""
        return max(0.0, self.row.us.median - self.row.floor_us)


def class_of(problem: str) -> str:
    """What kernel work on a problem would be work on: the first of :data:`CLASSES` that it is.

    Args:
        problem: canonical text.

    Example:
        >>> class_of("conv2d 8x3x224x224 64x3x7x7 stride=2"), class_of("conv2d 1x8x9x9 8x8x3x3")
        ('few channels', 'dense 3x3')
    """
    parsed = _C.parse(problem)
    if isinstance(parsed, _C.PoolProblem):
        return "pools"
    channels = parsed.input_size[1]
    if channels <= FEW_CHANNELS:
        return "few channels"
    if parsed.groups > 1:
        return "depthwise" if parsed.groups == channels else "grouped"
    if max(parsed.stride) > 1:
        return "strided"
    sides = set(parsed.kernel_size)
    return "1x1" if sides == {1} else "dense 3x3" if sides == {3} else "other dense"


def losses(rows: Iterable[Row]) -> list[Loss]:
    """What each row loses, the largest first; a problem that several suites have counts once.

    Args:
        rows: of any suites; those without a time or a bound are left out.
    """
    known: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.timed and row.floor_us > 0:
            known.setdefault((row.problem, row.direction, row.algorithm), row)
    found = [Loss(row, class_of(row.problem)) for row in known.values()]
    return sorted(found, key=lambda loss: -loss.lost_us)


def sums(found: Sequence[Loss]) -> dict[str, dict[tuple[str, str], float]]:
    """Lost microseconds by class, then by direction and format; the class that loses most first."""

    def key(loss: Loss) -> tuple[str, int, str]:
        return loss.kind, DIRECTIONS.index(loss.row.direction), loss.row.format

    by_class: dict[str, dict[tuple[str, str], float]] = {}
    for (kind, direction, format), some in groupby(sorted(found, key=key), key=key):
        place = (DIRECTIONS[direction], format)
        by_class.setdefault(kind, {})[place] = sum(loss.lost_us for loss in some)
    return dict(sorted(by_class.items(), key=lambda item: -sum(item[1].values())))
