# SPDX-License-Identifier: BSD-3-Clause
"""Times convolutions and pools beside torch's and beside what the machine can do.

Both run on the same tensors, in turn, in one process; each result is held against float64 before it
is timed.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from cnnkern.benchmark.case import PEERS
from cnnkern.benchmark.clock import clock_of
from cnnkern.benchmark.limits import measure_limits, precision_of
from cnnkern.benchmark.machine import machine, state
from cnnkern.benchmark.measure import LARGE_BYTES, Bench, is_large
from cnnkern.benchmark.results import Result, read_result, write_result
from cnnkern.benchmark.suites import Layer, with_batch
from cnnkern.cli import layers
from cnnkern.cli.checks import check_file, check_folder, check_packages, choose_device
from cnnkern.cli.layers import comma_list
from cnnkern.cli.parser import UsageError, positive, seconds, seed

HELP = "time problems, suites or a model beside torch"
ALGORITHMS = ("auto", "all", "direct", "depthwise", "im2col", "winograd", "implicit_gemm")
QUICK_LAYERS, QUICK_BATCH, QUICK_SECONDS = 4, 8, 0.08
WIDTH = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    layers.add_arguments(parser)
    parser.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        default="auto",
        help="of convolutions; all: each that serves (%(default)s)",
    )
    parser.add_argument(
        "--against",
        type=lambda text: () if text == "none" else comma_list(*PEERS)(text),
        default=("torch",),
        metavar="PEERS",
        help=f"{', '.join(PEERS)} (cuDNN's own search; GPUs only), with commas between, or none "
        "(torch)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=positive, help="of the CPU (default: torch's)")
    parser.add_argument(
        "--seconds", type=seconds, default=None, help="of timing for each row (0.25)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the tensors (%(default)s)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_LAYERS} layers of each suite in batches of at most {QUICK_BATCH}, "
        f"{QUICK_SECONDS} seconds for each row",
    )
    parser.add_argument(
        "--large",
        action="store_true",
        help=f"only layers with an input or output of {LARGE_BYTES >> 20} MiB or more, whose times "
        "hang on the allocator",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="the results; a folder gets a file for each suite"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the rows")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="pictures: roofline, ratios")
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page that needs no network")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="say what changed between two --json files beyond the noise, and measure nothing; "
        "exit code 1 where something became slower or fails",
    )


def run(options: argparse.Namespace) -> int:
    check_packages(("rich",), "bench")
    if options.compare:
        return _compare(*options.compare)
    device = choose_device(options.device).type
    if device == "cpu" and "torch.benchmark" in options.against:
        raise UsageError("--against: torch.benchmark is cuDNN's search, for --device cuda alone")
    _check_outputs(options)
    chosen = layers.chosen_layers(options, default=("all",))
    if options.large:
        chosen = [layer for layer in chosen if is_large(layer.problem)]
        if not chosen:
            raise UsageError(f"--large: no layer has {LARGE_BYTES >> 20} MiB")
    if options.quick:
        chosen = _quick(chosen)
    if options.threads:
        torch.set_num_threads(options.threads)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else 0.25)
    result = Result(machine(device), _settings(options, seconds), {})
    result.machine["before"] = state(device)
    _measure(options, device, seconds, chosen, result)
    result.machine["after"] = state(device)
    _report(options, result)
    if not result.complete:
        return 130
    return 1 if any(row.verdict == "failed" for row in result.rows) else 0


def _check_outputs(options: argparse.Namespace) -> None:
    if options.plot or options.html:
        needed = ["matplotlib"] * bool(options.plot) + ["plotly", "jinja2"] * bool(options.html)
        check_packages(needed, "bench")
    if options.json and not options.json.is_dir():
        check_file("--json", options.json, ("json",))
    elif options.json:
        check_folder("--json", options.json)
    if options.csv:
        check_file("--csv", options.csv)
    if options.html:
        check_file("--html", options.html, ("html",))
    if options.plot:
        check_folder("--plot", options.plot)


def _settings(options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    return {
        "directions": list(options.direction),
        "algorithm": options.algorithm,
        "against": list(options.against),
        "seconds": seconds,
        "seed": options.seed,
        "batch": options.batch,
        "quick": options.quick,
    }


def _quick(chosen: Sequence[Layer]) -> list[Layer]:
    """A few layers of each suite, from its first to its last."""
    kept = []
    for _, group in groupby(chosen, key=lambda layer: layer.suite):
        some = list(group)
        step = max(1, (len(some) - 1) // (QUICK_LAYERS - 1))
        kept += some[::step][:QUICK_LAYERS]
    batches = [(layer, min(layer.problem.input_size[0], QUICK_BATCH)) for layer in kept]
    return [replace(layer, problem=with_batch(layer.problem, n)) for layer, n in batches]


def _measure(
    options: argparse.Namespace,
    device: str,
    seconds: float,
    chosen: Sequence[Layer],
    result: Result,
) -> None:
    """Fills the result; an interruption leaves what was measured until then."""
    from rich import progress as bars

    from cnnkern.benchmark import tables
    from cnnkern.benchmark.heading import busy_line

    console = _console()
    columns = (
        bars.TextColumn("{task.description:30.30}"),
        bars.BarColumn(bar_width=30),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    for line in tables.machine_lines(result):
        console.print(line)
    if busy := busy_line(result):
        console.print(busy)
    with (
        _interruptible(result),
        bars.Progress(*columns, console=_console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("limits of the machine", total=len(chosen))
        clock = clock_of(device)
        dtypes = tuple(dict.fromkeys(precision_of(layer.problem, device) for layer in chosen))
        result.limits = measure_limits(clock, dtypes)
        console.print(tables.limits_line(result))
        bench = Bench(clock, result.limits, options.direction, options.algorithm,
                      options.against, seconds, options.seed)  # fmt: skip
        for suite, group in groupby(chosen, key=lambda layer: layer.suite):
            first = len(result.rows)
            for layer in group:
                progress.update(task, description=f"{suite} {layer.name}")
                result.rows += bench.rows(layer)
                progress.advance(task)
            console.print(f"\n{suite}", style="bold underline")
            console.print(tables.rows_table(result.rows[first:]))


@contextmanager
def _interruptible(result: Result) -> Iterator[None]:
    """Ctrl-C, or the end that a time limit sends, stops the measuring and nothing else."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        result.complete = False
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(options: argparse.Namespace, result: Result) -> None:
    from cnnkern.benchmark import tables
    from cnnkern.benchmark.summary import summarise

    console = _console()
    for peer in options.against:
        groups = summarise(result.rows, peer)
        if groups:
            console.print(tables.summary_table(groups))
    if not result.complete:
        console.print(f"Interrupted: {len(result.rows)} rows were measured")
    if not result.rows:
        return
    for path in _write(options, result):
        console.print(f"Written: {path}", soft_wrap=True)


def _write(options: argparse.Namespace, result: Result) -> Iterator[Path]:
    if options.json:
        yield from _write_json(options.json, result)
    if options.csv:
        from cnnkern.benchmark.csv_rows import write_csv

        write_csv(result.rows, options.csv)
        yield options.csv
    if options.plot:
        from cnnkern.benchmark.pictures import save_pictures

        yield from save_pictures(result, options.plot)
    if options.html:
        from cnnkern.benchmark.page import write_page

        write_page(result, options.html)
        yield options.html


def _write_json(path: Path, result: Result) -> Iterator[Path]:
    files = {path: result.rows}
    if path.is_dir():
        files = {}
        for row in result.rows:
            files.setdefault(path / f"{row.suite}.json", []).append(row)
    for file, rows in files.items():
        # What an interrupted run leaves does not take the place of a whole one.
        target = file if result.complete or not file.exists() else file.with_suffix(".partial.json")
        write_result(replace(result, rows=rows), target)
        yield target


def _compare(old: Path, new: Path) -> int:
    check_packages(("scipy",), "bench")
    from cnnkern.benchmark import tables
    from cnnkern.benchmark.changes import compare

    try:
        changes = compare(read_result(old), read_result(new))
    except OSError as error:
        raise UsageError(f"--compare: '{error.filename}': {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--compare: {error}") from None
    told = [change for change in changes if change.verdict != "same"]
    console = _console()
    if told:
        console.print(tables.changes_table(told))
    counts = ", ".join(
        f"{sum(change.verdict == verdict for change in changes)} {verdict}"
        for verdict in ("faster", "slower", "same", "fails", "new", "gone")
    )
    console.print(f"{len(changes)} rows: {counts}")
    return 1 if any(change.verdict in ("slower", "fails") for change in changes) else 0


def _console(stderr: bool = False) -> Any:
    from rich.console import Console

    # Without a terminal rich takes 80 columns, too few for the tables.
    width = None if os.isatty(2 if stderr else 1) or "COLUMNS" in os.environ else WIDTH
    return Console(stderr=stderr, width=width, highlight=False)
