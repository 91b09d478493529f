# SPDX-License-Identifier: BSD-3-Clause
"""Says what was built and what this machine offers."""

from __future__ import annotations

import argparse

from cnnkern import _C

HELP = "what was built and what this machine offers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(options: argparse.Namespace) -> int:
    del options
    facts = _C.info()
    width = max(map(len, facts))
    for name, value in facts.items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        print(f"{name:<{width}}  {value}")
    return 0
