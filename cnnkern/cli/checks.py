# SPDX-License-Identifier: BSD-3-Clause
"""What every subcommand asks before it starts: packages, device, files that it will write."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from cnnkern import _C
from cnnkern.cli.parser import UsageError


def check_packages(needed: Sequence[str], extra: str) -> None:
    """Refuses where a package of the extra is missing."""
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"needs {' and '.join(missing)}, not installed here; run pip install 'cnnkern[{extra}]'"
        )


def check_file(option: str, path: Path, endings: Sequence[str] = ()) -> None:
    """Refuses a file that could not be written, before anything is computed for it."""
    if endings and path.suffix[1:] not in endings:
        raise UsageError(
            f"{option}: expected a name that ends in .{', .'.join(endings)}, got '{path}'"
        )
    if path.is_dir():
        raise UsageError(f"{option}: '{path}' is a folder, expected a file name")
    there = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"{option}: '{path}' cannot be written: {error.strerror}") from None
    if not there:
        path.unlink()


def check_folder(option: str, path: Path) -> None:
    """Refuses a folder that could not be made or written into; makes it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise UsageError(f"{option}: '{path}' cannot be written: {error.strerror}") from None


def choose_device(wanted: str) -> torch.device:
    """Returns the device: a GPU only where there is one and cnnkern has kernels for it."""
    built = bool(_C.info()["cuda"])
    if wanted == "cuda" and not built:
        raise UsageError("--device: this cnnkern was built for the CPU only; use --device cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device: torch finds no GPU here; use --device cpu")
    usable = built and torch.cuda.is_available()
    return torch.device("cuda" if usable and wanted != "cpu" else "cpu")
