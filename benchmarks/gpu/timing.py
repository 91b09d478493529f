# SPDX-License-Identifier: BSD-3-Clause
"""Clocks for calls on a device, and the rates of the device that times are held against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

FLUSH_BYTES = 256 << 20  # more than any L2


class Clock:
    """Times calls one by one with the caches cold: events on a GPU, wall clock on the CPU."""

    def __init__(self, device: str, flush_bytes: int = FLUSH_BYTES) -> None:
        self.on_gpu = device == "cuda"
        self._flush = torch.empty(flush_bytes, dtype=torch.int8, device=device)

    def medians(self, calls: list[Callable[[], Any]], rounds: int) -> list[float]:
        """Microseconds of each call, all in turn (A B A B ...)."""
        for call in calls:
            call()
        if not self.on_gpu:
            times = [[self._wall(call) for call in calls] for _ in range(rounds)]
        else:
            events = [[self._events(call) for call in calls] for _ in range(rounds)]
            torch.cuda.synchronize()
            times = [[start.elapsed_time(end) * 1e3 for start, end in row] for row in events]
        return [statistics.median(column) for column in zip(*times, strict=True)]

    def _wall(self, call: Callable[[], Any]) -> float:
        self._flush.zero_()
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e6

    def _events(self, call: Callable[[], Any]) -> tuple[Any, Any]:
        event: Any = torch.cuda.Event
        start, end = (event(enable_timing=True) for _ in range(2))
        self._flush.zero_()  # long enough for the host to be ahead when the call's turn comes
        start.record()
        call()
        end.record()
        return start, end


def copy_rate(clock: Clock, device: str, size: int) -> float:
    """Bytes read and written in a second by a copy of `size` bytes."""
    source = torch.empty(size, dtype=torch.int8, device=device).random_()
    target = torch.empty_like(source)
    (us,) = clock.medians([lambda: target.copy_(source)], 10)
    return 2 * size / us * 1e6


def matrix_rate(clock: Clock, device: str, dtype: torch.dtype, side: int) -> float:
    """FLOP in a second of torch's product of two random square matrices."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    (us,) = clock.medians([lambda: a @ b], 8)
    return 2 * side**3 / us * 1e6
