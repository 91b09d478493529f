# SPDX-License-Identifier: BSD-3-Clause
"""The layers that a command works on: of suites, of problems given as text, of a model."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cnnkern.benchmark.measure import DIRECTIONS
from cnnkern.benchmark.models import load_model
from cnnkern.benchmark.suites import Layer, read_suite, suite_names, with_batch, with_form
from cnnkern.benchmark.trace import distinct, trace
from cnnkern.cli.parser import UsageError, positive
from cnnkern.problem import parse
from cnnkern.testing.variants import DTYPES, FORMATS


def comma_list(*valid: str) -> type:
    """An argparse type: names with commas between, or ``all``."""

    def parse_list(text: str) -> tuple[str, ...]:
        names = valid if text == "all" else tuple(text.split(","))
        for name in names:
            if name not in valid:
                raise argparse.ArgumentTypeError(
                    f"expected {', '.join(valid)} or all, with commas between, got {name!r}"
                )
        return tuple(dict.fromkeys(names))

    return parse_list  # type: ignore[return-value]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--suite``, ``--problem``, ``--model``, ``--input``, ``--batch``, and those of
    :func:`add_forms`."""
    parser.add_argument(
        "--suite",
        action="append",
        metavar="NAME",
        help=f"{', '.join(suite_names())}, all, or the path of a file of `name problem` lines; "
        "may be given again",
    )
    parser.add_argument(
        "--problem",
        action="append",
        metavar="TEXT",
        help="such as 'conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1'; may be given again",
    )
    parser.add_argument(
        "--model", metavar="WHERE", help="torchvision:resnet50, or file.py:build; it is traced"
    )
    parser.add_argument("--input", metavar="SIZE", help="of the model, such as 8x3x224x224")
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="in place of the suites' own batches"
    )
    add_forms(parser, "that of each problem")


def add_forms(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds ``--direction``, ``--dtype`` and ``--format``; ``default`` says in words what holds for
    the last two where they are not given."""
    parser.add_argument(
        "--direction",
        type=comma_list(*DIRECTIONS),
        default=DIRECTIONS,
        help=f"{', '.join(DIRECTIONS)}, with commas between, or all (default)",
    )
    for name, valid in (("--dtype", DTYPES), ("--format", FORMATS)):
        parser.add_argument(
            name,
            type=comma_list(*valid),
            help=f"{', '.join(valid)}, with commas between, or all (default: {default})",
        )


def chosen_layers(options: argparse.Namespace, default: Sequence[str] = ()) -> list[Layer]:
    """The layers that the options name, in each dtype and format; where they name none, those of
    the default suites."""
    try:
        named = list(_named(options, default))
        if options.batch:
            named = [replace(one, problem=with_batch(one.problem, options.batch)) for one in named]
        return [form for layer in named for form in _forms(layer, options.dtype, options.format)]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _named(options: argparse.Namespace, default: Sequence[str]) -> Iterator[Layer]:
    suites: Iterable[str] = options.suite or []
    if not (options.suite or options.problem or options.model):
        suites = default
    for name in suite_names() if "all" in suites else dict.fromkeys(suites):
        yield from read_suite(name)
    for text in options.problem or []:
        problem = parse(text)
        yield Layer("problems", str(problem), problem)
    if options.model:
        model, input = load_model(options.model, _size(options.input))
        name = options.model.rpartition("/")[2].rpartition(":")[2]
        yield from distinct(trace(model, input, suite=name).layers)
    elif options.input:
        raise UsageError("--input: expected only beside --model")


def _size(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = text.split("x")
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--input: expected a size such as 8x3x224x224, got {text!r}")
    return [int(part) for part in parts]


def _forms(
    layer: Layer, dtypes: Sequence[str] | None, formats: Sequence[str] | None
) -> Iterator[Layer]:
    problem = layer.problem
    for dtype in dtypes or (problem.dtype,):
        for format in formats or (problem.format,):
            # Over one axis the first format is the only one.
            if problem.rank == 1 and format == "channels_last" and "contiguous" in (formats or ()):
                continue
            form = "contiguous" if problem.rank == 1 else format
            yield replace(layer, problem=with_form(problem, dtype, form))
