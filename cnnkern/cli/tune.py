# SPDX-License-Identifier: BSD-3-Clause
"""Measures which algorithm is fastest for given problems and writes a plan file.

Results are held against float64 before they are timed; a wrong one is discarded and named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cnnkern.benchmark.clock import clock_of
from cnnkern.benchmark.files import write_whole
from cnnkern.benchmark.tune import Choice, plans_text, tune
from cnnkern.cli import layers
from cnnkern.cli.checks import check_file, choose_device
from cnnkern.cli.parser import UsageError, seconds

HELP = "measure the algorithms on problems and write the fastest as a plan file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    layers.add_arguments(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=0.5,
        help="of timing for each problem and direction (%(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", required=True, help="the plan file to write"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(options: argparse.Namespace) -> int:
    device = choose_device(options.device).type
    if options.output.exists() and not options.output.is_dir() and not options.force:
        raise UsageError(f"--output: '{options.output}' exists; --force replaces it")
    check_file("--output", options.output)
    if not (options.suite or options.problem or options.model):
        raise UsageError("expected what to measure: --suite, --problem or --model")
    chosen = layers.chosen_layers(options)
    choices = []
    measured = tune(chosen, clock_of(device), directions=options.direction, seconds=options.seconds)
    for choice in measured:
        choices.append(choice)
        print(choice, flush=True)
        _warn(choice)
    try:
        write_whole(options.output, plans_text(choices, device))
    except OSError as error:
        raise UsageError(
            f"--output: '{options.output}' cannot be written: {error.strerror}"
        ) from None
    planned = sum(choice.planned is not None for choice in choices)
    print(
        f"{planned} of {len(choices)} measured directions have a plan in {options.output}; "
        f"CNNKERN_PLANS={options.output} puts it in force"
    )
    return 1 if any(choice.discarded for choice in choices) else 0


def _warn(choice: Choice) -> None:
    for name, note in choice.discarded.items():
        print(
            f"cnnkern tune: DISCARDED {name} for {choice.direction} of {choice.layer.problem}: "
            f"{note}",
            file=sys.stderr,
        )
