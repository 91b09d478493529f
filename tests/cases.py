# SPDX-License-Identifier: BSD-3-Clause
"""The problems of cnnkern.testing.edge_cases, as the tests walk them."""

from __future__ import annotations

from cnnkern.testing.edge_cases import (
    ADAPTIVE_AVG_POOL,
    ADAPTIVE_MAX_POOL,
    AVG_POOL,
    CONV,
    CONV_TRANSPOSE,
    LONG_SUMS,
    MAX_POOL,
)
from cnnkern.testing.variants import DTYPES, FORMATS, rotated, variants

__all__ = [
    "ADAPTIVE_AVG_POOL",
    "ADAPTIVE_MAX_POOL",
    "AVG_POOL",
    "CONV",
    "CONV_TRANSPOSE",
    "DTYPES",
    "FORMATS",
    "LONG_SUMS",
    "MAX_POOL",
    "lines",
    "rotated",
    "variants",
]


def lines(*kinds: dict[str, list[str]]) -> list[str]:
    """Every problem of the tables, in order."""
    return [line for kind in kinds for group in kind.values() for line in group]
