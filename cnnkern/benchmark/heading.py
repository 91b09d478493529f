# SPDX-License-Identifier: BSD-3-Clause
"""Where a result comes from, in lines that stand above whatever shows it."""

from __future__ import annotations

import datetime

from . import units
from .results import Result

__all__ = [
    "busy_line",
    "date_of",
    "device_of",
    "limits_line",
    "machine_lines",
    "memory_line",
    "settings_line",
    "torch_asks",
]

_BUSY = 0.25  # threads that run, by core
_OF_MEMORY = ("THP_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
_VERSIONS = ("cnnkern", "commit", "torch", "cuda", "cudnn", "driver", "python")


def device_of(result: Result) -> str:
    """The device in words, with what of it was used: ``AMD EPYC, avx2, 2 threads``."""
    machine = result.machine
    parts = [str(machine.get("device") or machine.get("cpu") or "unknown device")]
    if machine.get("kind", "cpu") == "cpu":
        parts += [str(machine["isa"])] if machine.get("isa") else []
        threads = machine.get("threads")
        parts += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    return ", ".join(parts)


def date_of(result: Result, *, hours: bool = True) -> str:
    """The day, and unless told otherwise the minute, of the run; empty where it is not known."""
    text = str(result.machine.get("date", ""))
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    if not hours or date.tzinfo is None:
        return date.strftime("%Y-%m-%d")
    return date.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def machine_lines(result: Result) -> list[str]:
    """Machine, versions and date, state of the allocator, and that a run was interrupted."""
    machine = result.machine
    versions = [f"{name} {machine[name]}" for name in _VERSIONS if machine.get(name)]
    lines = [device_of(result), ", ".join(filter(None, [*versions, date_of(result)]))]
    lines.append(memory_line(result))
    if not result.complete:
        lines.append("Interrupted: only the rows that were measured until then")
    return [line for line in lines if line]


def memory_line(result: Result) -> str:
    """What fresh memory costs on a CPU: whether huge pages are given, and to whom; else empty.

    Example:
        >>> machine = {"huge_pages": "madvise", "huge_pages_defrag": "madvise",
        ...            "huge_pages_from": 32 << 20, "environment": {"MALLOC_ARENA_MAX": "1"}}
        >>> print(memory_line(Result(machine, {}, {})))
        Huge pages: madvise (defrag madvise); cnnkern asks from 32.0 MiB on, torch does not;
        MALLOC_ARENA_MAX=1
    """
    machine = result.machine
    if machine.get("kind", "cpu") != "cpu" or not machine.get("huge_pages"):
        return ""
    environment = machine.get("environment", {})
    text = f"Huge pages: {machine['huge_pages']}"
    if machine.get("huge_pages_defrag"):
        text += f" (defrag {machine['huge_pages_defrag']})"
    parts = [text]
    if "huge_pages_from" in machine:
        start = machine["huge_pages_from"]
        ours = f"cnnkern asks from {units.binary(start)} on" if start else "cnnkern does not ask"
        asks = torch_asks(result)
        parts.append(f"{ours}, torch {'asks from 2.00 MiB on' if asks else 'does not'}")
    parts += [f"{k}={v}" for k, v in environment.items() if k.startswith(_OF_MEMORY)]
    return "; ".join(parts)


def torch_asks(result: Result) -> bool:
    """Whether torch's allocator asked for huge pages in this run."""
    environment = result.machine.get("environment", {})
    return bool(environment.get("THP_MEM_ALLOC_ENABLE") == "1")


def busy_line(result: Result) -> str:
    """That other programs ran when the run began; empty where they did not.

    Example:
        >>> busy_line(Result({"before": {"running": 1.7}, "cores": 2}, {}, {}))
        'Other programs ran on 1.7 of the 2 cores: times are noise'
    """
    running = result.machine.get("before", {}).get("running", 0)
    cores = result.machine.get("cores", 0)
    if running <= _BUSY * cores:
        return ""
    return f"Other programs ran on {running:.2g} of the {cores} cores: times are noise"


def settings_line(result: Result) -> str:
    """What was asked for."""
    parts = []
    for name, value in result.settings.items():
        if value in (None, "", [], {}, False):
            continue
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        parts.append(name if value is True else f"{name} {value}")
    return "; ".join(parts)


def limits_line(result: Result) -> str:
    """What the machine can do at most, as measured in the same run."""
    parts = [
        f"{dtype} {units.decimal(rate, 'FLOP/s')}"
        for dtype, rate in result.limits.get("flops", {}).items()
    ]
    copies = result.limits.get("copy", [])
    if copies:
        size, rate = copies[-1]
        text = f"copy {units.decimal(rate, 'B/s')} at {units.binary(size)}"
        small, fast = max(copies, key=lambda pair: pair[1])
        if small != size:
            text += f" ({units.decimal(fast, 'B/s')} at {units.binary(small)})"
        parts.append(text)
    return "Limits measured in this run: " + ("; ".join(parts) if parts else "none")
