# SPDX-License-Identifier: BSD-3-Clause
"""Times calls in turn (A B A B ...), so that what disturbs one disturbs the other.

On a CPU: wall clock, caches warm, short calls repeated until a measurement takes milliseconds. On a
GPU: events around one call, with the L2 cache flushed before it, or (warm) not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

__all__ = ["CpuClock", "CudaClock", "clock_of"]

Calls = Mapping[str, Callable[[], Any]]
MOST_ROUNDS = 25
LEAST_ROUNDS = 5
LEAST_SECONDS = 2e-3  # of one measurement on a CPU
FLUSH_BYTES = 256 << 20  # more than any L2


class CpuClock:
    """Wall clock."""

    device = "cpu"

    def time(self, calls: Calls, seconds: float) -> dict[str, list[float]]:
        """Times each of the calls, in turn.

        Args:
            calls: by name.
            seconds: to spend on all of them together; at least five rounds are made.

        Returns:
            Microseconds by name, one a round.
        """
        for call in calls.values():
            call()
        once = {name: self._clock(call, 1) for name, call in calls.items()}
        repeats = {
            name: max(1, min(10_000, int(LEAST_SECONDS / max(once[name], 1e-7)))) for name in calls
        }
        a_round = sum(once[name] * repeats[name] for name in calls)
        rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(seconds / max(a_round, 1e-9))))
        times: dict[str, list[float]] = {name: [] for name in calls}
        if all(count == 1 for count in repeats.values()):  # then these were a round
            times = {name: [once[name] * 1e6] for name in calls}
            rounds -= 1
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(self._clock(call, repeats[name]) * 1e6)
        return times

    def warm(self, calls: Calls) -> dict[str, float]:
        """Nothing: the CPU's times are warm ones."""
        del calls
        return {}

    @staticmethod
    def _clock(call: Callable[[], Any], repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats


class CudaClock:
    """Events of the current stream."""

    device = "cuda"

    def __init__(self, flush_bytes: int = FLUSH_BYTES) -> None:
        self._flush = torch.empty(flush_bytes, dtype=torch.int8, device="cuda")

    def time(self, calls: Calls, seconds: float) -> dict[str, list[float]]:
        """As :meth:`CpuClock.time`; every call starts with a cold L2."""
        for call in calls.values():
            call()
        once = sum(sum(self._rounds([call], 1, True)[0]) for call in calls.values()) * 1e-6
        flush = len(calls) * 1e-4
        rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(seconds / (once + flush))))
        times = self._rounds(list(calls.values()), rounds, True)
        return dict(zip(calls, map(list, zip(*times, strict=True)), strict=True))

    def warm(self, calls: Calls) -> dict[str, float]:
        """Medians of calls whose data the call before may have left in the L2."""
        medians = {}
        for name, call in calls.items():
            times = sorted(row[0] for row in self._rounds([call], 9, False))
            medians[name] = times[len(times) // 2]
        return medians

    def _rounds(
        self, calls: Sequence[Callable[[], Any]], rounds: int, cold: bool
    ) -> list[list[float]]:
        events = [[self._record(call, cold) for call in calls] for _ in range(rounds)]
        torch.cuda.synchronize()
        return [[start.elapsed_time(end) * 1e3 for start, end in row] for row in events]

    def _record(self, call: Callable[[], Any], cold: bool) -> tuple[Any, Any]:
        event: Any = torch.cuda.Event
        start, end = (event(enable_timing=True) for _ in range(2))
        if cold:
            self._flush.zero_()  # long enough for the host to be ahead when the call's turn comes
        start.record()
        call()
        end.record()
        return start, end


def clock_of(device: str) -> CpuClock | CudaClock:
    """The clock for ``"cpu"`` or ``"cuda"``."""
    return CudaClock() if device.startswith("cuda") else CpuClock()
