# SPDX-License-Identifier: BSD-3-Clause
"""Says which algorithm serves a problem in each direction, what it costs, and why no other does."""

from __future__ import annotations

import argparse

import cnnkern
from cnnkern import _C
from cnnkern.cli.parser import UsageError

HELP = "say which algorithm serves a problem, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problem",
        nargs="+",
        help="such as: conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 dtype=bfloat16",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help=f"what would run it: cpu (default), cuda, {', '.join(_C.device_names())}",
    )


def run(options: argparse.Namespace) -> int:
    try:
        print(cnnkern.explain(" ".join(options.problem), device=options.device))
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from None
    return 0
