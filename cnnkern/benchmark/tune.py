# SPDX-License-Identifier: BSD-3-Clause
"""Finds the fastest algorithm for given problems by measurement, and writes a plan file.

Every algorithm that serves computes each direction of a problem on the same tensors. A result that
breaks the error rule discards its algorithm. The others are timed in turn. The one with the least
median replaces the default where it is faster even in its slower rounds: where the 80th percentile
of (its time / the default's time of the same round) is at most :data:`LEAST_GAIN`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import _C
from ..problem import ConvProblem
from .case import Case, draw, first_result, our_call, peer_call
from .checked import Truths
from .clock import CpuClock, CudaClock
from .machine import device_name
from .measure import refuse_what_does_not_fit
from .results import Spread
from .suites import Layer
from .units import time, time_span

__all__ = ["LEAST_GAIN", "Choice", "plans_text", "tune"]

LEAST_GAIN = 0.98


@dataclass
class Choice:
    """What was measured of one direction of a problem.

    ``times_us`` holds, by algorithm, one measurement of each round in microseconds; ``discarded``
    why an algorithm's result is wrong; ``skipped`` why nothing was measured.
    """

    layer: Layer
    direction: str
    default: str  # the algorithm that serves without a plan file
    times_us: dict[str, list[float]] = field(default_factory=dict)
    discarded: dict[str, str] = field(default_factory=dict)
    skipped: str = ""

    @property
    def fastest(self) -> str:
        """The algorithm of the least median; the default where nothing was timed."""
        medians = {name: Spread.of(times).median for name, times in self.times_us.items()}
        return min(medians, key=lambda name: medians[name], default=self.default)

    @property
    def gain(self) -> Spread | None:
        """The default's time / the fastest's, round by round."""
        if self.default not in self.times_us or self.fastest == self.default:
            return None
        pairs = zip(self.times_us[self.default], self.times_us[self.fastest], strict=True)
        return Spread.of([default / fastest for default, fastest in pairs])

    @property
    def planned(self) -> str | None:
        """The algorithm for the plan file; None: the default stays."""
        if self.default in self.discarded:
            return self.fastest if self.times_us else None
        return self.fastest if self.gain and 1 / self.gain.low <= LEAST_GAIN else None

    def __str__(self) -> str:
        name = f"{self.layer.suite} {self.layer.name}, {self.direction}"
        if self.skipped:
            return f"{name}: not measured: {self.skipped}"
        parts = [f"{one} {_spread(times)}" for one, times in sorted(self.times_us.items())]
        parts += [f"{one} DISCARDED, its result is wrong" for one in self.discarded]
        planned = f"{self.planned} in place of" if self.planned else "stays with"
        return f"{name}: {planned} {self.default}; {', '.join(parts)}"


def tune(
    layers: Iterable[Layer],
    clock: CpuClock | CudaClock,
    *,
    directions: Sequence[str] = ("forward", "input_grad", "weight_grad"),
    seconds: float = 0.5,
    seed: int = 0,
) -> Iterator[Choice]:
    """Measures the algorithms that serve each convolution, and checks what they compute.

    A plan file in force makes no difference. Pools have one algorithm each and are left out, as is
    a problem that differs from one before only in bias or ReLU, and a direction that a single
    algorithm serves.

    Args:
        layers: the problems, with names.
        clock: where, and how, calls are timed.
        directions: those to measure.
        seconds: to spend on timing a direction's algorithms, together.
        seed: of the tensors' values.

    Yields:
        One choice a direction, as soon as it is made.
    """
    known: set[str] = set()
    for layer in layers:
        if not isinstance(layer.problem, ConvProblem):
            continue
        for direction in directions:
            key = _C.plan_key(layer.problem, direction)
            if key in known:
                continue
            known.add(key)
            names, default = _serving(layer.problem, direction, clock.device)
            if len(names) > 1:
                choice = Choice(layer, direction, default)
                with torch.no_grad():
                    _measure(choice, names, clock, seconds, seed)
                yield choice


def _serving(problem: ConvProblem, direction: str, device: str) -> tuple[list[str], str]:
    """The algorithms that serve, and the default one."""
    plan = _C.plan(problem, direction, device=device)
    names = []
    for name in sorted([plan.algorithm, *(name for name, _ in plan.refused)]):
        try:
            _C.plan(problem, direction, name, device=device)
        except RuntimeError:
            continue
        names.append(name)
    return names, plan.otherwise or plan.algorithm


def _measure(
    choice: Choice, names: Sequence[str], clock: CpuClock | CudaClock, seconds: float, seed: int
) -> None:
    problem, direction = choice.layer.problem, choice.direction
    try:
        refuse_what_does_not_fit(problem, clock.device)
        case = Case(problem, direction, draw(problem, clock.device, seed))
        truths, flops = Truths(), _C.plan(problem, direction, device=clock.device).flops
        theirs = _torch_result(case)
        calls: dict[str, Callable[[], Any]] = {}
        for name in names:
            call = our_call(case, name)
            check = truths.check(case, first_result(call()), theirs, flops)
            if check.verdict == "failed":
                choice.discarded[name] = check.note
            elif check.verdict == "untrustworthy":
                choice.skipped = check.note
            else:
                calls[name] = call
        if not choice.skipped and calls:
            choice.times_us = clock.time(calls, seconds)
    except (RuntimeError, MemoryError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        choice.skipped = lines[0][:200]


def _torch_result(case: Case) -> torch.Tensor | None:
    try:
        return first_result(peer_call(case)())
    except RuntimeError:
        return None


def plans_text(choices: Sequence[Choice], device: str) -> str:
    """A plan file of what was chosen, with the times as comments.

    Args:
        choices: what :func:`tune` gave, in its order.
        device: ``"cpu"`` or ``"cuda"``.
    """
    traits = _C.device_traits(device)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    lines = [
        "# Plans of cnnkern tune; load them with CNNKERN_PLANS=FILE or cnnkern.load_plans(FILE).",
        f"# {device_name(device)}{threads}; cnnkern {_C.info()['version']}, "
        f"torch {torch.__version__}; {today}",
        "# Times are medians, and in brackets the middle 60 % of the rounds. An algorithm takes",
        f"# the place of the default where it needs at most {LEAST_GAIN:.0%} of its time, in four",
        "# of five rounds.",
        "",
        f"device {traits['name']}",
    ]
    for problem, of_problem in _by_problem(choices).items():
        lines.append("")
        for choice in of_problem:
            lines.append(f"# {choice}")
            notes = choice.discarded.items()
            lines += [f"#   {name}: {' '.join(note.split())}" for name, note in notes]
        planned = [f"{one.direction} {one.planned}" for one in of_problem if one.planned]
        lines.append(f"{problem} -> {', '.join(planned)}" if planned else f"# {problem}")
    return "\n".join(lines) + "\n"


def _by_problem(choices: Iterable[Choice]) -> dict[str, list[Choice]]:
    found: dict[str, list[Choice]] = {}
    for choice in choices:
        found.setdefault(str(choice.layer.problem), []).append(choice)
    return found


def _spread(times: Sequence[float]) -> str:
    spread = Spread.of(times)
    return f"{time(spread.median)} ({time_span(spread)})"
