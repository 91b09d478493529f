# SPDX-License-Identifier: BSD-3-Clause
"""Times cnnkern's CUDA operators beside torch's and beside what the device can do.

    python benchmarks/gpu/bench.py --out bench.jsonl --seconds 280

Writes a JSON line for each problem, direction, type and format: medians of 12 cold calls, in turn;
bytes and FLOP in a second of the least that the problem needs, also as shares of the rates of a
copy and of a matrix product in the same run; the error by cnnkern.testing's rule. It ends when its
time is over, so that a few of each kind of problem come first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from calls import ROOT, Case, Place, cases, parse
from timing import Clock, copy_rate, matrix_rate

from cnnkern.testing import check_close

SUITES = ROOT / "benchmarks" / "suites"
ROUNDS = 12
DTYPES = {
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float16": torch.float16,
    "float64": torch.float64,
}
MATRIX_SIDE = {"bfloat16": 8192, "float32": 4096, "float16": 8192, "float64": 4096}
DRY_LINES = (
    ("pooling", "dry", "tiny_pool", "max_pool2d 2x4x9x9 kernel=3 stride=2 padding=1"),
    ("conv", "dry", "tiny_conv", "conv2d 2x4x9x9 6x4x3x3 padding=1"),
)


@dataclass(frozen=True)
class Job:
    """A problem's line with the type, format and algorithm to run it in."""

    kind: str
    suite: str
    name: str
    text: str
    dtype: str
    channels_last: bool
    algorithm: str = "auto"


def suite_lines(batch: int) -> Iterator[tuple[str, str, str]]:
    for path in sorted(SUITES.glob("*.txt")):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                name, text = line.split(" ", 1)
                yield path.stem, name, re.sub(r"^(\w+) \d+x", rf"\1 {batch}x", text)


def kind_of(text: str) -> str:
    if "_pool" in text:
        return "pooling"
    problem = parse(text)
    channels = problem.input_size[1]
    return "depthwise" if problem.groups == channels > 1 else "conv"


def jobs(batch: int) -> list[Job]:
    """Pooling, depthwise, then the rest by im2col and directly, every fourth problem first."""
    lines: dict[str, list[tuple[str, str, str]]] = {}
    for suite, name, text in suite_lines(batch):
        lines.setdefault(kind_of(text), []).append((suite, name, text))
    usual = ("bfloat16", "float32")
    order = [
        (kind, lines[kind], "auto", dtype) for kind in ("pooling", "depthwise") for dtype in usual
    ]
    for first in range(4):
        some = lines["conv"][first::4]
        order += [("conv", some, a, dtype) for a in ("im2col", "direct") for dtype in usual]
    order += [(kind, lines[kind], "auto", "float16") for kind in lines]
    order += [(kind, lines[kind], "auto", "float64") for kind in ("pooling", "depthwise")]
    return [
        Job(kind, suite, name, text, dtype, last, algorithm)
        for kind, some, algorithm, dtype in order
        for suite, name, text in some
        for last in (True, False)
    ]


@contextlib.contextmanager
def searching(on: bool) -> Iterator[None]:
    """cuDNN's own search (benchmark = True) or its heuristic; exact float32 in both."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = on
    try:
        yield
    finally:
        cudnn.benchmark = before


def error_of(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """How far the result stands from the truth; `ok` by cnnkern.testing's rule."""
    ours, theirs = case.ours(), case.theirs()
    try:
        report = check_close(ours, case.exact(), theirs, case.magnitude(), dtype)
    except AssertionError as error:
        return {"ok": False, "fault": str(error)[:300]}
    units = report.in_units_of_torch
    return {
        "ok": True,
        "share_of_bound": float(f"{report.share_of_bound:.3g}"),
        "torch_errors": None if math.isnan(units) else float(f"{units:.3g}"),
    }


def measure(job: Job, case: Case, clock: Clock, rates: dict[str, float]) -> dict[str, Any]:
    row = error_of(case, DTYPES[job.dtype])
    with searching(True):
        us, torch_us = clock.medians([case.ours, case.theirs], ROUNDS)
    heuristic_us = torch_us
    if job.kind != "pooling":
        with searching(False):
            (heuristic_us,) = clock.medians([case.theirs], ROUNDS)
    per_second = case.bytes / us * 1e6, case.flops / us * 1e6
    matrix = rates[job.dtype]
    # Pooling compares and adds, for which no matrix product is a measure.
    floor_us = case.bytes / rates["copy"] * 1e6
    if job.kind != "pooling":
        floor_us = max(floor_us, case.flops / matrix * 1e6)
    return {
        **row,
        "us": round(us, 2),
        "torch_us": round(torch_us, 2),
        "torch_heuristic_us": round(heuristic_us, 2),
        "ratio": round(torch_us / us, 3),
        "gbps": round(per_second[0] / 1e9, 1),
        "of_copy": round(per_second[0] / rates["copy"], 3),
        "tflops": round(per_second[1] / 1e12, 3),
        "of_matrix": round(per_second[1] / matrix, 3),
        "of_floor": round(floor_us / us, 3),
    }


def rows(job: Job, device: str, clock: Clock, rates: dict[str, float]) -> Iterator[dict[str, Any]]:
    """A row for each direction; what cannot run says why."""
    place = Place(device, DTYPES[job.dtype], job.channels_last)
    head = {"kind": job.kind, "suite": job.suite, "name": job.name, "problem": job.text,
            "dtype": job.dtype, "algorithm": job.algorithm,
            "format": "channels_last" if job.channels_last else "contiguous"}  # fmt: skip
    try:
        for case in cases(parse(job.text), place, job.algorithm):
            row = {**head, "direction": case.direction}
            try:
                yield {**row, **measure(job, case, clock, rates)}
            except RuntimeError as error:
                yield {**row, "refused": str(error).splitlines()[0][:300]}
    except RuntimeError as error:
        yield {**head, "refused": str(error).splitlines()[0][:300]}


def measured_rates(clock: Clock, device: str, dry: bool) -> dict[str, float]:
    size = 1 << 22 if dry else min(2 << 30, torch.cuda.get_device_properties(0).total_memory // 16)
    rates = {"copy": copy_rate(clock, device, size)}
    for name, dtype in DTYPES.items():
        rates[name] = matrix_rate(clock, device, dtype, 64 if dry else MATRIX_SIDE[name])
    return rates


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the file of JSON lines")
    parser.add_argument("--seconds", type=float, default=280)
    parser.add_argument("--batch", type=int, default=64, help="in place of the suites' own")
    parser.add_argument("--match", default="", help="only names that contain this")
    parser.add_argument("--dry", action="store_true", help="two tiny problems on the CPU")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    device = "cpu" if options.dry else "cuda"
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    clock = Clock(device, 1 << 20 if options.dry else 256 << 20)
    planned = jobs(options.batch)
    if options.dry:
        torch.set_num_threads(1)  # threads that wait for each other time nothing
        planned = [Job(*line, "float32", last) for line in DRY_LINES for last in (True, False)]
    planned = [job for job in planned if options.match in job.name]
    rates = measured_rates(clock, device, options.dry)
    counts = {"rows": 0, "wrong": 0, "refused": 0}
    done = 0
    with options.out.open("w") as file, torch.no_grad():
        print(json.dumps({"rates": rates, "jobs": len(planned)}), file=file, flush=True)
        for job in planned:
            if time.monotonic() - start > options.seconds:
                break
            for row in rows(job, device, clock, rates):
                print(json.dumps(row), file=file, flush=True)
                counts["rows"] += 1
                counts["wrong"] += row.get("ok") is False
                counts["refused"] += "refused" in row
            done += 1
            if device == "cuda" and done % 8 == 0:
                torch.cuda.empty_cache()
    print(f"{done} of {len(planned)} jobs, " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
