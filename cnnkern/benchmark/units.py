# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of a benchmark as people read them: three digits and a unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .results import Row, Spread

__all__ = [
    "binary",
    "decimal",
    "percent",
    "rate",
    "ratio",
    "span",
    "three_digits",
    "time",
    "time_span",
]


def scaled(value: float, units: Sequence[str], step: float = 1000) -> str:
    """Three digits and the unit, each ``step`` times the one before it, that suits them."""
    if not math.isfinite(value):
        return "-"
    steps = 0
    # Three digits are shown: what rounds to a whole step belongs to the next unit.
    while abs(value) >= step * 0.9995 and steps + 1 < len(units):
        value /= step
        steps += 1
    return f"{three_digits(value)} {units[steps]}".rstrip()


def three_digits(value: float) -> str:
    """Without an exponent; ``0`` for nothing.

    >>> [three_digits(value) for value in (0.0123, 1.234, 12.34, 123.4, 9.996)]
    ['0.01', '1.23', '12.3', '123', '10.0']
    """
    if value == 0:
        return "0"
    for digits in (2, 1):
        if round(abs(value), digits) < 10 ** (3 - digits):
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def time(us: float) -> str:
    """A time, from microseconds.

    >>> time(75.34), time(6190.0)
    ('75.3 us', '6.19 ms')
    """
    return scaled(us, ("us", "ms", "s"))


def span(spread: Spread, scale: float = 1) -> str:
    """The range of the middle measurements, divided by a scale.

    >>> span(Spread(2.0, 1.5, 2.5))
    '1.50-2.50'
    """
    return f"{three_digits(spread.low / scale)}-{three_digits(spread.high / scale)}"


def time_span(spread: Spread) -> str:
    """The range of times in microseconds, in the unit of their median.

    >>> time_span(Spread(1500.0, 1400.0, 1610.0))
    '1.40-1.61'
    """
    scale = 1.0
    while spread.median >= scale * 999.5 and scale < 1e6:
        scale *= 1000
    return span(spread, scale)


def decimal(value: float, unit: str = "") -> str:
    """In powers of 1000.

    >>> decimal(1.8e11, "FLOP/s"), decimal(925e6)
    ('180 GFLOP/s', '925 M')
    """
    return scaled(value, [prefix + unit for prefix in ("", "k", "M", "G", "T", "P")])


def binary(size: float) -> str:
    """Bytes in powers of 1024.

    >>> binary(0), binary(768000)
    ('0', '750 KiB')
    """
    return scaled(size, ("B", "KiB", "MiB", "GiB", "TiB"), 1024) if size else "0"


def percent(share: float) -> str:
    """A share in whole percent.

    >>> percent(0.457), percent(float("nan"))
    ('46 %', '-')
    """
    return f"{share:.0%}".replace("%", " %") if math.isfinite(share) else "-"


def ratio(value: float) -> str:
    """A ratio of times, as :func:`three_digits`, or a dash.

    >>> ratio(0.5), ratio(13.797), ratio(float("nan"))
    ('0.50', '13.8', '-')
    """
    return three_digits(value) if math.isfinite(value) else "-"


def rate(row: Row) -> tuple[float, str]:
    """What a row does in a second, of that which bounds it, and the unit; 0 without a time."""
    per_second = 1e6 / row.us.median if row.timed else 0.0
    if row.bound == "bytes":
        return row.bytes * per_second, "B/s"
    return row.flops * per_second, "FLOP/s"
