# SPDX-License-Identifier: BSD-3-Clause
"""Where kernels can be tested: the CPU's, CUDA's on the emulator, CUDA's on a GPU."""

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
from typing import Any

import torch

__all__ = ["BACKENDS", "Backend", "emulator", "missing", "running"]

BACKENDS = ("cpu", "emulated", "cuda")

# The emulator is built beside the package in a source tree; no wheel has it.
_BUILDS = Path(__file__).resolve().parents[2] / "build" / "simt"


@dataclass(frozen=True)
class Backend:
    """A device for tensors, and the one that its plans are for."""

    name: str
    device: str
    plans: str


@cache
def emulator(build: str = "checked") -> ModuleType | None:
    """The emulator's module (``checked`` or ``fast``), None where it was not built."""
    found = list((_BUILDS / build).glob("_simt*.so"))
    if not found:
        return None
    spec = importlib.util.spec_from_file_location("_simt", found[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def missing(name: str) -> str | None:
    """Why one of ``BACKENDS`` cannot run here, and what to do; None where it can.

    >>> missing("cpu") is None
    True
    """
    if name == "emulated" and emulator() is None:
        return "the emulator is not built: run 'make emulator' in a source tree of cnnkern"
    if name == "cuda" and not torch.cuda.is_available():
        return "no GPU that this torch can use"
    return None


@contextmanager
def running(name: str, problem: str = "") -> Iterator[Backend]:
    """The kernels of one of ``BACKENDS`` at work. On the emulator they take the CPU's tensors.

    float32 is exact, unless the problem has the word ``tf32``.

    Args:
        name: ``cpu``, ``emulated`` or ``cuda``.
        problem: each has its own schedule of threads on the emulator.

    Raises:
        RuntimeError: the backend cannot run here; says why.
    """
    reason = missing(name)
    if reason is not None:
        raise RuntimeError(reason)
    if name == "cpu":
        yield Backend(name, name, name)
        return
    cudnn: Any = torch.backends.cudnn
    tf32 = "tf32" in problem.split()
    with cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=tf32):
        if name == "cuda":
            yield Backend(name, name, name)
        else:
            yield from _emulating(problem)


def _emulating(problem: str) -> Iterator[Backend]:
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
