# SPDX-License-Identifier: BSD-3-Clause
"""Times cnnkern's operators beside torch's on lists of problems, on the CPU.

    python benchmarks/against_torch.py lenet5 resnet50 --seconds 0.3 --json ratios.json

Both run on the same tensors, in turn, in one process (A B A B ...); a row is the median of each and
of their ratio (torch's time / ours: above 1 we are faster), with the range of the middle 60 %.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import cnnkern
from cnnkern.benchmark.suites import read_suite, suite_names

FORMATS = ("contiguous", "channels_last")
aten: Any = torch.ops.aten
own: Any = torch.ops.cnnkern
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def problems(suite: str) -> Iterator[tuple[str, Any]]:
    """The layers of a suite that aten's operators, called beside ours, take as they are."""
    for layer in read_suite(suite):
        if layer.problem.rank > 1 and all(a == b for a, b in layer.problem.padding):
            yield layer.name, layer.problem


def as_format(t: torch.Tensor, channels_last: bool) -> torch.Tensor:
    if not channels_last:
        return t.contiguous()
    last = torch.channels_last if t.dim() == 4 else torch.channels_last_3d
    return t.contiguous(memory_format=last)


def conv_calls(problem: Any, channels_last: bool) -> dict[str, Pair]:
    x = as_format(torch.randn(problem.input_size), channels_last)
    w = as_format(torch.randn(problem.weight_size), channels_last)
    dy = as_format(torch.randn(problem.output_size), channels_last)
    stride, dilation, groups = list(problem.stride), list(problem.dilation), problem.groups
    pads = [side for pair in problem.padding for side in pair]
    half = [before for before, _ in problem.padding]
    zero = [0] * problem.rank

    def theirs_backward(*mask: bool) -> Any:
        return aten.convolution_backward(
            dy, x, w, None, stride, half, dilation, False, zero, groups, list(mask)
        )

    geometry = (stride, pads, dilation, groups)
    return {
        "forward": (
            lambda: own.conv(x, w, None, *geometry, False, "auto"),
            lambda: aten.convolution(x, w, None, stride, half, dilation, False, zero, groups),
        ),
        "input_grad": (
            lambda: own.conv_input_grad(dy, w, None, x.shape, *geometry, False, "auto"),
            lambda: theirs_backward(True, False, False)[0],
        ),
        "weight_grad": (
            lambda: own.conv_weight_grad(dy, x, w.shape, *geometry, False, "auto")[0],
            lambda: theirs_backward(False, True, False)[1],
        ),
    }


def pool_calls(problem: Any, channels_last: bool) -> dict[str, Pair]:
    rank = problem.rank
    x = as_format(torch.randn(problem.input_size), channels_last)
    dy = as_format(torch.randn(problem.output_size), channels_last)
    kernel, stride = list(problem.kernel_size), list(problem.stride)
    pads = [side for pair in problem.padding for side in pair]
    half = [before for before, _ in problem.padding]
    ceil = problem.ceil_mode
    if problem.op.startswith("avg"):
        forward = getattr(aten, f"avg_pool{rank}d")
        backward = getattr(aten, f"avg_pool{rank}d_backward")
        return {
            "forward": (
                lambda: own.avg_pool(x, kernel, stride, pads, ceil, True, 0),
                lambda: forward(x, kernel, stride, half, ceil, True, None),
            ),
            "input_grad": (
                lambda: own.avg_pool_grad(dy, x.shape, kernel, stride, pads, ceil, True, 0),
                lambda: backward(dy, x, kernel, stride, half, ceil, True, None),
            ),
        }
    geometry = (kernel, stride, pads, list(problem.dilation), ceil)
    torch_geometry = (kernel, stride, half, list(problem.dilation), ceil)
    with_indices = getattr(aten, f"max_pool{rank}d_with_indices")
    backward = getattr(aten, f"max_pool{rank}d_with_indices_backward")
    argmax = own.max_pool(x, *geometry, True)[1]
    indices = with_indices(x, *torch_geometry)[1]
    return {
        "forward": (
            lambda: own.max_pool(x, *geometry, False)[0],
            lambda: with_indices(x, *torch_geometry)[0],
        ),
        "forward_argmax": (
            lambda: own.max_pool(x, *geometry, True)[0],
            lambda: with_indices(x, *torch_geometry)[0],
        ),
        "input_grad": (
            lambda: own.max_pool_grad(dy, argmax, x.shape, *geometry),
            lambda: backward(dy, x, *torch_geometry, indices),
        ),
    }


def clock(f: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        f()
    return (time.perf_counter() - start) / calls


def compare(pair: Pair, seconds: float) -> dict[str, float]:
    """Times both in turn until `seconds` are spent; microseconds and ratios."""
    ours, theirs = pair
    a, b = ours(), theirs()
    scale = max(b.abs().max().item(), 1e-30)
    difference = (a - b).abs().max().item() / scale
    once = clock(ours, 1) + clock(theirs, 1)
    calls = max(1, int(2e-3 / max(once, 1e-7)))
    rounds = max(3, min(50, int(seconds / (once * calls))))
    times = [(clock(ours, calls), clock(theirs, calls)) for _ in range(rounds)]
    ratios = sorted(t / o for o, t in times)
    return {
        "ours_us": round(statistics.median(o for o, _ in times) * 1e6, 2),
        "torch_us": round(statistics.median(t for _, t in times) * 1e6, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_20": round(ratios[int(0.2 * (rounds - 1))], 3),
        "ratio_80": round(ratios[math.ceil(0.8 * (rounds - 1))], 3),
        "rounds": rounds,
        "difference": float(f"{difference:.2g}"),
    }


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def machine() -> dict[str, Any]:
    cpu = Path("/proc/cpuinfo")
    names = [s for s in cpu.read_text().splitlines() if "model name" in s] if cpu.exists() else []
    return {
        "cpu": names[0].split(":", 1)[1].strip() if names else platform.processor(),
        "isa": cnnkern._C.info()["isa"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cnnkern": cnnkern.__version__,
        "date": datetime.date.today().isoformat(),
    }


def main(arguments: list[str] | None = None) -> int:
    suites = suite_names()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(suites)}; all by default")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each comparison")
    parser.add_argument("--match", default="", help="only problems whose name contains this")
    parser.add_argument("--direction", help="only this one")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write machine and rows here")
    options = parser.parse_args(arguments)
    for suite in options.suite:
        if suite not in suites:
            parser.error(f"unknown suite {suite!r}, expected one of {', '.join(suites)}")
    if options.json:
        options.json.touch()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    for suite in options.suite or suites:
        for name, problem in problems(suite):
            if options.match not in name:
                continue
            for fmt in FORMATS:
                calls = pool_calls if "pool" in problem.op else conv_calls
                for direction, pair in calls(problem, fmt == "channels_last").items():
                    if options.direction not in (None, direction):
                        continue
                    with torch.no_grad():
                        row = compare(pair, options.seconds)
                    rows.append({"suite": suite, "name": name, "problem": str(problem),
                                 "format": fmt, "direction": direction, **row})  # fmt: skip
                    print(
                        f"{suite:13s} {name:28s} {fmt:13s} {direction:14s} "
                        f"ours {row['ours_us']:10.1f} us  torch {row['torch_us']:10.1f} us  "
                        f"ratio {row['ratio']:6.2f} ({row['ratio_20']:.2f} to "
                        f"{row['ratio_80']:.2f})  difference {row['difference']:.1e}",
                        flush=True,
                    )
    print("\nGeometric mean of torch's time / ours, and the least ratio:")
    for key in sorted({(r["suite"], r["format"], r["direction"]) for r in rows}):
        group = [r for r in rows if (r["suite"], r["format"], r["direction"]) == key]
        least = min(group, key=lambda r: r["ratio"])
        mean = geometric_mean([r["ratio"] for r in group])
        print(f"{' '.join(key):45s} {mean:6.2f}   {least['ratio']:.2f} ({least['name']})")
    if options.json:
        lines = ",\n".join(json.dumps(row) for row in rows)
        options.json.write_text(f'{{"machine": {json.dumps(machine())},\n"rows": [\n{lines}\n]}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
