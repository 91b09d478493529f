# SPDX-License-Identifier: BSD-3-Clause
"""The subcommands of ``cnnkern`` and the way they end."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cnnkern
from cnnkern import _C
from cnnkern.cli import bench, explain, info, tune, verify
from cnnkern.cli.parser import Parser, UsageError
from cnnkern.demo import command as demo

# Each is a module with HELP, add_arguments(parser) and run(options) -> exit code.
COMMANDS = {
    "demo": demo,
    "bench": bench,
    "verify": verify,
    "explain": explain,
    "info": info,
    "tune": tune,
}


def parser() -> Parser:
    """Returns the parser of the whole command line."""
    top = Parser(
        prog="cnnkern",
        description="Convolution and pooling layers for torch that explain what they run.",
    )
    top.add_argument("--version", action="version", version=f"cnnkern {cnnkern.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.HELP, description=command.__doc__)
        command.add_arguments(one)
        one.set_defaults(run=command.run, parser=one)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    options, unknown = parser().parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        _check_plans()
        code: int = options.run(options)
    except UsageError as error:
        print(f"cnnkern {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ncnnkern {options.command}: interrupted", file=sys.stderr)
        return 130
    return code


def _check_plans() -> None:
    """A bad file in CNNKERN_PLANS stops every command before it starts."""
    try:
        _C.plan_file()
    except RuntimeError as error:
        raise UsageError(f"CNNKERN_PLANS: {error}") from None
