# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of every layer of suites, torch's operators beside ours.

    python benchmarks/memory.py --json benchmarks/results/DEVICE/beyond_suites/memory.json

How far a call raises the resident memory of the process, its result included, its operands not; the
calls before it have left what each side keeps. A suite is measured in a process of its own. A
suite's table line has the largest peak, ours / torch's of all peaks together, and the layer that
needs most beyond torch's, if that is a MiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from cnnkern.benchmark import beyond_suites  # noqa: E402
from cnnkern.benchmark.case import Case, directions_of, draw, our_call, peer_call  # noqa: E402
from cnnkern.benchmark.heading import device_of, memory_line  # noqa: E402
from cnnkern.benchmark.machine import machine  # noqa: E402
from cnnkern.benchmark.measure import DIRECTIONS, refuse_what_does_not_fit  # noqa: E402
from cnnkern.benchmark.peak import peak_bytes  # noqa: E402
from cnnkern.benchmark.results import Result  # noqa: E402
from cnnkern.benchmark.suites import read_suite, suite_names, with_batch, with_form  # noqa: E402
from cnnkern.benchmark.tables import plain_table  # noqa: E402
from cnnkern.cli.checks import check_file  # noqa: E402
from cnnkern.cli.layers import comma_list  # noqa: E402
from cnnkern.cli.parser import Parser, UsageError, launch, positive  # noqa: E402
from cnnkern.problem import Problem  # noqa: E402

FORMATS = ("contiguous", "channels_last")
WIDTH = 140  # of the table, where the output is no terminal


def parser() -> Parser:
    top = Parser(
        prog="memory.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("suite", nargs="*", help="a name or a file of problems; all by default")
    top.add_argument("--batch", type=positive, help="in place of the suites' own")
    top.add_argument("--format", type=comma_list(*FORMATS), default=FORMATS, metavar="FORMATS",
                     help=f"{' and '.join(FORMATS)}, by default both")  # fmt: skip
    top.add_argument(
        "--threads", type=positive, default=torch.get_num_threads(), help="%(default)s"
    )
    top.add_argument("--json", type=Path, metavar="FILE", help="for every layer's peaks")
    top.add_argument("--of-one", action="store_true", help=argparse.SUPPRESS)  # in the child
    return top


def peaks(suite: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measures a suite in this process; what does not fit, or torch cannot compute, is left out."""
    for layer in read_suite(suite):
        problem = with_batch(layer.problem, options.batch) if options.batch else layer.problem
        for format in options.format if problem.rank > 1 else FORMATS[:1]:
            form = with_form(problem, problem.dtype, format)
            try:
                refuse_what_does_not_fit(form, "cpu")
                found = list(_of(form))
            except (RuntimeError, MemoryError) as error:
                print(f"{suite} {layer.name}: not measured: {error}", file=sys.stderr)
                continue
            for direction, both in found:
                yield {"suite": layer.suite, "name": layer.name, "problem": str(form),
                       "direction": direction, "format": format, "peaks": both}  # fmt: skip


def _of(problem: Problem) -> Iterator[tuple[str, dict[str, int]]]:
    operands = draw(problem)
    for direction in directions_of(problem, DIRECTIONS):
        case = Case(problem, direction, operands)
        yield direction, {"torch": _peak(peer_call(case)), "cnnkern": _peak(our_call(case))}


def _peak(call: Callable[[], Any]) -> int:
    call()
    return peak_bytes(call)


def in_a_process(suite: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    words = [suite, "--of-one", "--format", ",".join(options.format)]
    words += ["--threads", str(options.threads)]
    words += ["--batch", str(options.batch)] if options.batch else []
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), *words],
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends this process, which ends that one
        text=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(f"{suite}: its process ended with {done.returncode}")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def run(options: argparse.Namespace) -> int:
    torch.set_num_threads(options.threads)
    suites = options.suite or suite_names()
    if options.of_one:
        with torch.no_grad():
            print(json.dumps(list(peaks(suites[0], options))))
        return 0
    for suite in suites:
        try:
            read_suite(suite)
        except ValueError as error:
            raise UsageError(str(error)) from None
    if options.json:
        check_file("--json", options.json, ("json",))
    batches = f"Batches of {options.batch}" if options.batch else "The suites' own batches"
    result = Result(machine("cpu"), {"batch": options.batch}, {})
    rows: list[dict[str, Any]] = []
    data = {
        "about": f"{batches}; how far a call raises the process's resident memory, its result "
        "included",
        "machine": result.machine,
        "settings": result.settings,
        "rows": rows,
    }
    for suite in suites:
        rows += in_a_process(suite, options)
        print(suite, file=sys.stderr)
        if options.json:  # what is interrupted leaves the suites before
            beyond_suites.write(options.json, data)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(f"{device_of(result)}\n{memory_line(result)}")
    console.print(plain_table(*beyond_suites.memory_lines(data)))
    if options.json:
        print(f"Written: {options.json}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    return launch(parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
