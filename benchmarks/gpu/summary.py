# SPDX-License-Identifier: BSD-3-Clause
"""What a run found, in at most 60 lines."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

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
    rows = out / "bench.jsonl"
    if "bench" in run["stages"] and rows.exists():
        lines += [""] + bench_lines([json.loads(line) for line in rows.read_text().splitlines()])
    return lines[:MOST_LINES]


def bench_lines(records: list[dict[str, Any]]) -> list[str]:
    rates: dict[str, float] = next((r["rates"] for r in records if "rates" in r), {})
    rows = [r for r in records if "us" in r]
    wrong = [r for r in records if r.get("ok") is False]
    lines = [
        f"copy {rates.get('copy', 0) / 1e9:.0f} GB/s; matrix products in TFLOP/s: "
        + ", ".join(f"{k} {v / 1e12:.1f}" for k, v in rates.items() if k != "copy"),
        *(f"WRONG {r['problem']} {r['direction']} {r['dtype']}: {r['fault']}" for r in wrong[:8]),
        f"{'':48s} rows  torch's time / ours  share of the floor",
        f"{'':48s}         mean   least      median   least",
    ]
    keys = ("kind", "algorithm", "direction", "dtype", "format")
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    for key, group in groups.items():
        ratios = [r["ratio"] for r in group]
        shares = [r["of_floor"] for r in group]
        mean = math.exp(statistics.fmean(math.log(max(ratio, 1e-6)) for ratio in ratios))
        kind, algorithm, direction, dtype, layout = key
        label = f"{kind if algorithm == 'auto' else algorithm} {direction} {dtype} {layout}"
        lines.append(
            f"{label:48s} {len(group):4d}   {mean:6.2f}  {min(ratios):6.2f}      "
            f"{statistics.median(shares):6.2f}  {min(shares):6.2f}"
        )
    return [line[:WIDTH] for line in lines]
