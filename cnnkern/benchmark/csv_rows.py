# SPDX-License-Identifier: BSD-3-Clause
"""Rows as CSV: one line each, times in microseconds, ratios as the peer's time / ours."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .results import OURS, Row, Spread

__all__ = ["write_csv"]

_PLAIN = (
    "suite", "name", "problem", "direction", "dtype", "format", "algorithm", "verdict", "note",
    "plan", "workspace_bytes", "predicted_us", "flops", "bytes", "bound", "floor_us",
    "error_in_torchs", "error_share",
)  # fmt: skip


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Writes a header and a line for each row.

    Raises:
        OSError: the file cannot be written.
    """
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _header(peers), restval="")
        writer.writeheader()
        writer.writerows(_cells(row) for row in rows)


def _header(peers: Sequence[str]) -> list[str]:
    ours = ["us", "us_20", "us_80", "share_of_bound", "warm_us"]
    theirs = [
        f"{peer}_{what}" for peer in peers for what in ("us", "ratio", "ratio_20", "ratio_80")
    ]
    return [*_PLAIN, *ours, *theirs]


def _cells(row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    if not row.timed:
        return cells
    cells |= dict(zip(("us", "us_20", "us_80"), row.us, strict=True))
    cells["share_of_bound"] = row.share_of_bound
    cells["warm_us"] = row.warm_us.get(OURS, "")
    for peer in row.peers:
        ratios = row.ratio(peer)
        cells[f"{peer}_us"] = Spread.of(row.times_us[peer]).median
        names = (f"{peer}_ratio", f"{peer}_ratio_20", f"{peer}_ratio_80")
        cells |= dict(zip(names, ratios, strict=True))
    return cells
