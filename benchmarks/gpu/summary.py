# SPDX-License-Identifier: BSD-3-Clause
"""What a run found, in at most 60 lines."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

MOST_LINES, WIDTH = 60, 150


def lines_of(out: Path) -> list[str]:
    """The summary of the results in a folder."""
    run = json.loads((out / "run.json").read_text())
    m = run["machine"]
    lines = [
        f"{m['device'] or 'no GPU'}, driver {m['driver']}, torch {m['torch']}, CUDA {m.get('cuda')}"
        f", nvcc {m['nvcc']}, Python {m['python']}, {m['cores']} cores",
        f"commit {m['commit']}, {m['date']}{', dry' if run['dry'] else ''}",
    ]
    for name, stage in run["stages"].items():
        lines.append(
            f"{name:9s} {stage['status']:8s} {stage['seconds']:6.1f} s  {stage['note']}"[:160]
        )
    file = out / "bench.json"
    if "bench" in run["stages"] and file.exists():
        lines += ["", *bench_lines(file)]
    return lines[:MOST_LINES]


def bench_lines(file: Path) -> list[str]:
    """What is wrong, then geometric means by kind of problem."""
    # The package may not be built yet where a run only tests or probes.
    from bench import kind_of

    from cnnkern.benchmark.heading import limits_line
    from cnnkern.benchmark.results import Row, geometric_mean, read_result
    from cnnkern.problem import parse

    result = read_result(file)
    wrong = [row for row in result.rows if row.verdict == "failed"]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in result.rows:
        if row.timed:
            kind = kind_of(parse(row.problem))
            by = "" if kind == "pool" or row.algorithm == "auto" else f" {row.plan}"
            key = (f"{kind}{by}", row.direction, row.dtype, row.format)
            groups.setdefault(key, []).append(row)
    peers = list(dict.fromkeys(peer for row in result.rows for peer in row.peers))
    lines = [
        limits_line(result),
        *(f"WRONG {row.problem} {row.direction} {row.algorithm}: {row.note}" for row in wrong[:8]),
        " " * 48 + " rows  " + "  ".join(f"{peer:>17s}" for peer in peers) + "  share of the bound",
        " " * 55 + "  ".join(f"{'mean':>8s} {'least':>8s}" for _ in peers) + "  median   least",
    ]
    for key, rows in groups.items():
        cells = []
        for peer in peers:
            ratios = [row.ratio(peer).median for row in rows if peer in row.times_us]
            numbers = (geometric_mean(ratios), min(ratios)) if ratios else (0.0, 0.0)
            cells.append(f"{numbers[0]:8.2f} {numbers[1]:8.2f}")
        shares = [row.share_of_bound for row in rows]
        lines.append(
            f"{' '.join(key):48s} {len(rows):4d}  {'  '.join(cells)}  "
            f"{statistics.median(shares):6.2f}  {min(shares):6.2f}"
        )
    return [line[:WIDTH] for line in lines]
