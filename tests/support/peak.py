# SPDX-License-Identifier: BSD-3-Clause
"""How much memory a call has of torch's allocator, at most and at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def allocated(call: Callable[[], Any]) -> tuple[int, int]:
    """The bytes beyond those at the start: the most at a time, and what is left with the result."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        result = call()
    kineto = profile.profiler.kineto_results
    events = [e for e in kineto.events() if e.name() == "[memory]"]
    most = now = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    del result
    return most, now
