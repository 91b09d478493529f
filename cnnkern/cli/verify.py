# SPDX-License-Identifier: BSD-3-Clause
"""Holds every algorithm against torch in float64: layers of suites cut to small sizes, edge cases,
random problems.

Each case is computed twice: on small integers, exactly, and on normal values by the error rule. For
a failure it finds a smaller problem that fails in the same way, and prints the command that shows
it. Exit code 1 where something failed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from cnnkern.benchmark.suites import read_suite, suite_names, with_form
from cnnkern.cli.checks import check_file, check_packages
from cnnkern.cli.layers import add_forms, comma_list
from cnnkern.cli.parser import UsageError, positive, seed
from cnnkern.problem import parse
from cnnkern.testing.devices import BACKENDS, missing
from cnnkern.testing.directions import ALGORITHMS
from cnnkern.testing.edge_cases import edge_cases
from cnnkern.testing.scale import scaled_down
from cnnkern.testing.variants import DTYPES, FORMATS, rotated
from cnnkern.testing.verify import Failure, Outcome, smallest_failure, verify_problem

HELP = "hold every algorithm against torch in float64"
RANDOM = 100
SHRUNKEN = 5  # kinds of failures of which a smallest one is looked for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--suite",
        action="append",
        metavar="NAME",
        help=f"its layers, cut to small sizes: {', '.join(suite_names())}, all, or the path of a "
        "file of `name problem` lines; may be given again",
    )
    parser.add_argument("--edge", action="store_true", help="the list of edge cases")
    parser.add_argument("--random", type=positive, metavar="N", help="problems drawn at random")
    parser.add_argument(
        "--problem", action="append", metavar="TEXT", help="as it is; may be given again"
    )
    parser.add_argument(
        "--algorithm",
        type=comma_list("auto", *ALGORITHMS),
        default=("auto", *ALGORITHMS),
        help=f"auto, {', '.join(ALGORITHMS)}, with commas between, or all (default)",
    )
    add_forms(parser, "taking turns")
    parser.add_argument(
        "--device",
        choices=BACKENDS,
        default="cpu",
        help="emulated: the CUDA kernels on the emulator (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, help="of random problems and tensors (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every outcome")


def run(options: argparse.Namespace) -> int:
    reason = missing(options.device)
    if reason is not None:
        raise UsageError(f"--device {options.device}: {reason}")
    check_packages(("rich",), "verify")
    if options.json:
        check_file("--json", options.json, ("json",))
    problems = _problems(options)
    # Only here, where the package that it needs is known to be there.
    from cnnkern.cli import verify_report as report

    began = time.monotonic()
    outcomes: list[Outcome] = []
    failures: list[Failure] = []
    complete = True
    try:
        for problem in report.progress(problems, "verifying"):
            outcomes += _verified(options, problem)
        firsts = _first_of_each_kind(outcomes)[:SHRUNKEN]
        for outcome in report.progress(firsts, "shrinking"):
            failures.append(_shrunken(options, outcome))
    except KeyboardInterrupt:
        complete = False
    report.show(outcomes, failures, seconds=time.monotonic() - began, complete=complete)
    if options.json:
        _write(options, outcomes, failures, complete)
    if not complete:
        return 130
    return 1 if any(outcome.verdict == "failed" for outcome in outcomes) else 0


def _problems(options: argparse.Namespace) -> list[str]:
    """The texts that the options ask for, without doubles."""
    everything = not (options.suite or options.edge or options.random or options.problem)
    count = options.random or (RANDOM if everything else 0)
    if count:
        check_packages(("hypothesis",), "verify")
    try:
        texts = [form for text in options.problem or [] for form in _forms(options, text)]
        suites = suite_names() if everything or "all" in (options.suite or []) else options.suite
        layers = [str(layer.problem) for name in suites or [] for layer in read_suite(name)]
        texts += _in_turns(options, dict.fromkeys(map(scaled_down, layers)))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if options.edge or everything:
        texts += _in_turns(options, edge_cases())
    if count:
        from cnnkern.testing.problems import random_problems

        texts += random_problems(
            count,
            options.seed,
            dtypes=options.dtype or DTYPES,
            formats=options.format or FORMATS,
        )
    return list(dict.fromkeys(texts))


def _in_turns(options: argparse.Namespace, texts: Sequence[str] | dict[str, None]) -> Iterator[str]:
    if options.dtype or options.format:
        for text in texts:
            yield from _forms(options, text)
    else:
        # What names its own dtype or format keeps it.
        free = [text for text in texts if not {"dtype", "format"} & _names(text)]
        yield from (text for text in texts if {"dtype", "format"} & _names(text))
        yield from rotated(free, 1)


def _names(text: str) -> set[str]:
    return {word.partition("=")[0] for word in text.split()}


def _forms(options: argparse.Namespace, text: str) -> Iterator[str]:
    """The problem in each dtype and format that was asked for; else as it is."""
    problem = parse(text)
    for dtype in options.dtype or (problem.dtype,):
        for format in options.format or (problem.format,):
            # Over one axis contiguous is the only format.
            yield str(with_form(problem, dtype, "contiguous" if problem.rank == 1 else format))


def _verified(options: argparse.Namespace, problem: str) -> list[Outcome]:
    return verify_problem(
        problem,
        device=options.device,
        algorithms=options.algorithm,
        directions=options.direction,
        seed=options.seed,
    )


def _first_of_each_kind(outcomes: Sequence[Outcome]) -> list[Outcome]:
    firsts: dict[tuple[str, ...], Outcome] = {}
    for outcome in outcomes:
        if outcome.verdict == "failed":
            op = outcome.problem.split()[0][:-2]
            firsts.setdefault((op, outcome.algorithm, outcome.direction, outcome.kind), outcome)
    return list(firsts.values())


def _shrunken(options: argparse.Namespace, outcome: Outcome) -> Failure:
    return smallest_failure(outcome, directions=options.direction, seed=options.seed)


def _write(
    options: argparse.Namespace,
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    complete: bool,
) -> None:
    data = {
        "schema": 1,
        "complete": complete,
        "device": options.device,
        "seed": options.seed,
        "torch": torch.__version__,
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "failures": [asdict(failure) | {"command": failure.command} for failure in failures],
    }
    whole = options.json.with_name(f".{options.json.name}.{os.getpid()}")
    whole.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    whole.replace(options.json)
