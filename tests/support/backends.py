# SPDX-License-Identifier: BSD-3-Clause
"""Where the tests of one case list run: the CPU's kernels, CUDA's on the emulator, CUDA's."""

from __future__ import annotations

import importlib.util
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
BACKENDS = ("cpu", "emulated", "cuda")


@dataclass(frozen=True)
class Backend:
    """A device for tensors, and the one that its plans are for."""

    name: str
    device: str
    plans: str


@cache
def emulator(build: str = "checked") -> ModuleType | None:
    """The emulator's module (``checked`` or ``fast``), None where it was not built."""
    found = list((ROOT / "build" / "simt" / build).glob("_simt*.so"))
    if not found:
        return None
    spec = importlib.util.spec_from_file_location("_simt", found[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def missing(name: str) -> str | None:
    """Why a backend cannot run here."""
    if name == "emulated" and emulator() is None:
        return "the emulator is not built: make emulator"
    if name == "cuda" and not torch.cuda.is_available():
        return "no GPU"
    return None


@contextmanager
def running(name: str, problem: str = "") -> Iterator[Backend]:
    """The backend at work. On the emulator a problem has its own schedule of threads."""
    if name != "emulated":
        yield Backend(name, name, name)
        return
    simt = emulator()
    assert simt is not None
    with warnings.catch_warnings():  # torch warns that a kernel stands before another
        warnings.simplefilter("ignore")
        simt.enable()
    simt.set_seed(zlib.crc32(problem.encode()) % 1000)
    try:
        yield Backend("emulated", "cpu", "H200")
    finally:
        simt.set_seed(0)
        simt.disable()
