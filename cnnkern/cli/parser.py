# SPDX-License-Identifier: BSD-3-Clause
"""argparse as every subcommand uses it: one line for an error, exit code 2."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn


class UsageError(Exception):
    """What the user asked for cannot be done; the text says why and what to do."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """An argument of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return value


def seconds(text: str) -> float:
    """A time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return value


def seed(text: str) -> int:
    """A seed that torch takes: 0 to 2^63 - 1."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 63:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 0 to 2^63 - 1, got {text!r}"
        )
    return value


def launch(parser: Parser, run: Callable[[argparse.Namespace], int], arguments: Any) -> int:
    """Runs a script and returns its exit code: 2 for what cannot be done, 130 for Ctrl-C.

    Args:
        parser: of its arguments.
        run: what it does with them.
        arguments: None for those of the command line.
    """
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted, nothing was written", file=sys.stderr)
        return 130
