# SPDX-License-Identifier: BSD-3-Clause
"""The subcommands of ``cnnkern`` and the way they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import cnnkern
from cnnkern import _C
from cnnkern.cli.parser import Parser, UsageError
from cnnkern.demo import command as demo


def explain(options: argparse.Namespace) -> int:
    try:
        print(cnnkern.explain(" ".join(options.problem), device=options.device))
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from None
    return 0


def info(options: argparse.Namespace) -> int:
    facts = _C.info()
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        print(f"{name:<{width}}  {value}")
    return 0


def parser() -> Parser:
    """Returns the parser of the whole command line."""
    top = Parser(
        prog="cnnkern",
        description="Convolution and pooling layers for torch that explain what they run.",
    )
    top.add_argument("--version", action="version", version=f"cnnkern {cnnkern.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    one = commands.add_parser("demo", help="train LeNet-5 on real digits, beside torch.nn")
    demo.add_arguments(one)
    one.set_defaults(run=demo.run, parser=one)

    one = commands.add_parser("explain", help="say which algorithm serves a problem, and why")
    one.add_argument(
        "problem",
        nargs="+",
        help="such as: conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 dtype=bfloat16",
    )
    one.add_argument(
        "--device",
        default="cpu",
        help=f"what would run it: cpu (default), cuda, {', '.join(_C.device_names())}",
    )
    one.set_defaults(run=explain, parser=one)

    one = commands.add_parser("info", help="what was built and what this machine offers")
    one.set_defaults(run=info, parser=one)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    options, unknown = parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code: int = options.run(options)
    except UsageError as error:
        print(f"cnnkern {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ncnnkern {options.command}: interrupted", file=sys.stderr)
        return 130
    return code
