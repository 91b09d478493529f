# SPDX-License-Identifier: BSD-3-Clause
"""How much memory a call needs at its peak, as the operating system (Linux) counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["peak_bytes"]


def peak_bytes(call: Callable[[], Any]) -> int:
    """How far a call raises this process's resident memory; what it returns is among that.

    What free memory the process held is given back before, so that none of it hides what the call
    needs. What the call keeps for a next one counts only if the call is the first.
    """
    gc.collect()  # not in the middle of the call
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {name}")
