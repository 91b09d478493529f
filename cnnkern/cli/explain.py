# SPDX-License-Identifier: BSD-3-Clause
"""Says which algorithm serves a problem in each direction, what it costs, and why no other does."""

from __future__ import annotations

import argparse

import torch

import cnnkern
from cnnkern import _C
from cnnkern.cli.parser import UsageError
from cnnkern.device_table import explain_devices

HELP = "say which algorithm serves a problem, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problem",
        nargs="+",
        help="such as: conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1 dtype=bfloat16",
    )
    parser.add_argument(
        "--device",
        help="what would run it, in more detail: cpu, cuda (this machine's), "
        f"{', '.join(_C.device_names())}; without it, one table of all these",
    )


def run(options: argparse.Namespace) -> int:
    text = " ".join(options.problem)
    device = options.device
    if device and device.lower().startswith(("cpu", "cuda")):
        device = device.lower()
    if (device or "").startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"--device {device}: torch finds no GPU here; expected cpu or a GPU by its "
            f"name: {', '.join(_C.device_names())}"
        )
    try:
        print(explain_devices(text) if device is None else cnnkern.explain(text, device=device))
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from None
    return 0
