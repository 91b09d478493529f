# SPDX-License-Identifier: BSD-3-Clause
"""Times cnnkern's CUDA kernels on all suites, beside torch and cuDNN's own search, until its time
is over; so a few of each kind of problem come first.

    python benchmarks/gpu/bench.py --out bench.json --seconds 280

Writes a result of ``cnnkern bench``, again after every few rows, so that a run that is cut short
leaves what it measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cnnkern.benchmark.clock import clock_of  # noqa: E402
from cnnkern.benchmark.limits import measure_limits  # noqa: E402
from cnnkern.benchmark.machine import machine, state  # noqa: E402
from cnnkern.benchmark.measure import Bench  # noqa: E402
from cnnkern.benchmark.results import Result, write_result  # noqa: E402
from cnnkern.benchmark.suites import (  # noqa: E402
    Layer,
    read_suite,
    suite_names,
    with_batch,
    with_form,
)
from cnnkern.problem import PoolProblem, Problem, parse  # noqa: E402

SECONDS_A_ROW = 0.02  # of timing; the least number of rounds takes longer where a call is long
SAVE_EVERY = 20.0
PRECISIONS = ("bfloat16", "float32", "tf32", "float16", "float64")
OWN_BATCH = {"deepbench", "convnet_benchmarks"}  # where it is part of the suite
DRY = (
    Layer("dry", "tiny_pool", parse("max_pool2d 2x4x9x9 kernel=3 stride=2 padding=1")),
    Layer("dry", "tiny_conv", parse("conv2d 2x4x9x9 6x4x3x3 padding=1")),
)


@dataclass(frozen=True)
class Job:
    """A layer in the form in which it is to run, and by which algorithms."""

    layer: Layer
    algorithm: str = "auto"


def kind_of(problem: Problem) -> str:
    if isinstance(problem, PoolProblem):
        return "pool"
    return "depthwise" if problem.groups == problem.input_size[1] > 1 else "conv"


def jobs(batch: int) -> list[Job]:
    """Pools and depthwise layers, then the rest by each algorithm, every fourth problem first."""
    kinds: dict[str, list[Layer]] = {"pool": [], "depthwise": [], "conv": []}
    seen = set()
    for suite in suite_names():
        for layer in read_suite(suite):
            if suite not in OWN_BATCH:
                layer = replace(layer, problem=with_batch(layer.problem, batch))
            if str(layer.problem) not in seen:
                seen.add(str(layer.problem))
                kinds[kind_of(layer.problem)].append(layer)
    usual, rest = PRECISIONS[:3], PRECISIONS[3:]
    small = kinds["pool"], kinds["depthwise"]
    order = [(some, "auto", dtype) for some in small for dtype in usual[:2]]
    order += [(kinds["conv"][i::4], "all", dtype) for i in range(4) for dtype in usual]
    order += [(some, "auto", dtype) for dtype in rest for some in kinds.values()]
    return [
        Job(replace(layer, problem=in_precision(layer.problem, dtype, format)), algorithm)
        for some, algorithm, dtype in order
        for layer in some
        for format in formats(layer.problem)
    ]


def in_precision(problem: Problem, precision: str, format: str) -> Problem:
    if precision == "tf32":
        return with_form(parse(f"{problem} tf32"), "float32", format)
    return with_form(problem, precision, format)


def formats(problem: Problem) -> Iterator[str]:
    if problem.rank > 1:
        yield "channels_last"
    yield "contiguous"


def dry_jobs() -> list[Job]:
    return [
        Job(replace(layer, problem=with_form(layer.problem, "float32", format)), "all")
        for layer in DRY
        for format in formats(layer.problem)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the result file")
    parser.add_argument("--seconds", type=float, default=280)
    parser.add_argument("--batch", type=int, default=64, help="in place of most suites' own")
    parser.add_argument("--dry", action="store_true", help="two tiny problems on the CPU")
    options = parser.parse_args(arguments)
    end = time.monotonic() + options.seconds
    device = "cpu" if options.dry else "cuda"
    if options.dry:
        torch.set_num_threads(1)  # threads that wait for each other time nothing
    planned = dry_jobs() if options.dry else jobs(options.batch)
    peers = ("torch",) if options.dry else ("torch", "torch.benchmark")
    clock = clock_of(device)
    limits = measure_limits(clock, ("float32",) if options.dry else PRECISIONS)
    settings = {"against": list(peers), "seconds": SECONDS_A_ROW, "batch": options.batch}
    result = Result(machine(device), settings, limits, complete=False)
    result.machine["before"] = state(device)
    benches = {
        algorithm: Bench(clock, limits, algorithm=algorithm, peers=peers, seconds=SECONDS_A_ROW)
        for algorithm in ("auto", "all")
    }
    done, saved = 0, time.monotonic()
    for job in planned:
        if time.monotonic() > end:
            break
        result.rows += benches[job.algorithm].rows(job.layer)
        done += 1
        if device == "cuda" and done % 8 == 0:
            torch.cuda.empty_cache()
        if time.monotonic() - saved > SAVE_EVERY:
            write_result(result, options.out)
            saved = time.monotonic()
    result.complete = done == len(planned)
    result.machine["after"] = state(device)
    write_result(result, options.out)
    counts = Counter(row.verdict for row in result.rows)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"{done} of {len(planned)} jobs, {len(result.rows)} rows: {told}")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
