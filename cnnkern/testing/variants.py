# SPDX-License-Identifier: BSD-3-Clause
"""Problems in other dtypes and formats."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["DTYPES", "FORMATS", "rotated", "variants"]

DTYPES = ("float32", "float64", "float16", "bfloat16")
FORMATS = ("contiguous", "channels_last")


def variants(
    problems: Sequence[str],
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
) -> list[str]:
    """Each problem in each dtype and format; a sequence's only format is contiguous.

    Args:
        problems: texts without dtype and format.
        dtypes: of ``DTYPES``.
        formats: of ``FORMATS``.

    >>> variants(["max_pool1d 1x1x4 kernel=2"], dtypes=("float32", "float16"))
    ['max_pool1d 1x1x4 kernel=2', 'max_pool1d 1x1x4 kernel=2 dtype=float16']
    """
    return [
        " ".join([line, *_words(dtype, format)])
        for line in problems
        for dtype in dtypes
        for format in formats
        if format == "contiguous" or not line.split()[0].endswith("1d")
    ]


def rotated(
    problems: Sequence[str],
    each: int,
    dtypes: Sequence[str] = DTYPES,
    formats: Sequence[str] = FORMATS,
) -> list[str]:
    """Each problem in ``each`` of its variants, all dtypes and formats taking turns."""
    chosen = []
    for turn, line in enumerate(problems):
        own = variants([line], dtypes, formats)
        # 3 and 8 have no common divisor: neighbours differ in dtype and format.
        chosen += [own[(3 * turn + 5 * i) % len(own)] for i in range(min(each, len(own)))]
    return chosen


def _words(dtype: str, format: str) -> list[str]:
    words = [f"dtype={dtype}"] if dtype != "float32" else []
    return words + ([f"format={format}"] if format != "contiguous" else [])
