# SPDX-License-Identifier: BSD-3-Clause
"""Measures problems: each direction checked, then timed beside torch, a row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import _C
from ..problem import ConvProblem, Problem
from .case import Case, directions_of, draw, first_result, our_call, peer_call
from .checked import Truths
from .clock import CpuClock, CudaClock
from .limits import floor, precision_of
from .results import OURS, Row
from .suites import Layer

__all__ = ["ELEMENT_BYTES", "LARGE_BYTES", "Bench", "algorithms_of", "is_large"]

ELEMENT_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "tf32": 4}
# From here on glibc maps fresh pages at each call, and what they cost hangs on the allocator.
LARGE_BYTES = 32 << 20
DIRECTIONS = ("forward", "input_grad", "weight_grad")


def is_large(problem: Problem) -> bool:
    """Whether the input or the output has :data:`LARGE_BYTES` or more."""
    most = max(math.prod(problem.input_size), math.prod(problem.output_size))
    return most * ELEMENT_BYTES[problem.dtype] >= LARGE_BYTES


def algorithms_of(problem: Problem, direction: str, wanted: str, device: str) -> list[str]:
    """The algorithms to run: ``"all"`` are those that serve; pools have one."""
    if wanted != "all":
        return [wanted if isinstance(problem, ConvProblem) else "auto"]
    if not isinstance(problem, ConvProblem):
        return ["auto"]
    chosen = _C.plan(problem, direction, device=device)
    names = [chosen.algorithm]
    for name, _ in chosen.refused:
        try:
            _C.plan(problem, direction, name, device=device)
        except RuntimeError:
            continue
        names.append(name)
    return names


@dataclass
class Bench:
    """Measures layer by layer, on one device with one set of limits.

    A problem that several suites share is measured once and stands in each of them.
    """

    clock: CpuClock | CudaClock
    limits: dict[str, Any]
    directions: Sequence[str] = DIRECTIONS
    algorithm: str = "auto"  # or a name, or "all"
    peers: Sequence[str] = ("torch",)
    seconds: float = 0.25  # of timing for each row
    seed: int = 0
    _known: dict[str, list[Row]] = field(default_factory=dict, repr=False)
    _truths: Truths = field(default_factory=Truths, repr=False)

    def rows(self, layer: Layer) -> list[Row]:
        """The rows of a layer; what cannot run is a row that says why."""
        text = str(layer.problem)
        if text not in self._known:
            # Exact float32 for torch too, unless the problem says tf32; and its heuristic rather
            # than a search.
            cudnn: Any = torch.backends.cudnn
            tf32 = getattr(layer.problem, "tf32", False)
            precision = cudnn.flags(
                enabled=True, benchmark=False, deterministic=False, allow_tf32=tf32
            )
            with torch.no_grad(), precision:
                self._known[text] = list(self._measure(layer))
        return [replace(row, suite=layer.suite, name=layer.name) for row in self._known[text]]

    def _measure(self, layer: Layer) -> Iterator[Row]:
        problem = layer.problem
        wanted = directions_of(problem, self.directions)
        precision = precision_of(problem, self.clock.device)
        head = Row(layer.suite, layer.name, str(problem), "", precision, problem.format,
                   self.algorithm, "refused")  # fmt: skip
        try:
            refuse_what_does_not_fit(problem, self.clock.device)
            operands = draw(problem, self.clock.device, self.seed)
        except (RuntimeError, MemoryError) as error:
            yield from (replace(head, direction=d, note=_one_line(error)) for d in wanted)
            return
        for direction in wanted:
            case = Case(problem, direction, operands)
            planned = direction.removesuffix("_argmax")
            try:
                names = algorithms_of(problem, planned, self.algorithm, self.clock.device)
            except (RuntimeError, ValueError) as error:
                yield replace(head, direction=direction, note=_one_line(error))
                continue
            for name in names:
                yield self._row(case, name, replace(head, direction=direction, algorithm=name))

    def _row(self, case: Case, algorithm: str, row: Row) -> Row:
        try:
            plan = _C.plan(
                case.problem,
                case.direction.removesuffix("_argmax"),
                algorithm,
                device=self.clock.device,
            )
            argmax = case.operands.argmax
            extra = (
                argmax.nbytes if case.direction == "forward_argmax" and argmax is not None else 0
            )
            row.plan, row.workspace_bytes = plan.algorithm, plan.workspace_bytes
            row.predicted_us = plan.predicted_us
            row.flops, row.bytes = plan.flops, plan.bytes + extra
            pool = not isinstance(case.problem, ConvProblem)
            row.floor_us, row.bound = floor(self.limits, row.dtype, row.flops, row.bytes, pool=pool)
            self._check_and_time(case, algorithm, row)
        except (RuntimeError, MemoryError) as error:
            row.verdict, row.note = "refused", _one_line(error)
        return row

    def _check_and_time(self, case: Case, algorithm: str, row: Row) -> None:
        ours = our_call(case, algorithm)
        calls: dict[str, Callable[[], Any]] = {OURS: ours}
        theirs: Tensor | None = None
        missing = []
        # The error rule asks for torch's own error, whoever is timed.
        for peer in dict.fromkeys(("torch", *self.peers)):
            try:
                call = peer_call(case, peer)
                result = first_result(call())
            except RuntimeError as error:
                missing += [f"no {peer}: {_one_line(error)}"] * (peer in self.peers)
                continue
            theirs = result if peer == "torch" else theirs
            if peer in self.peers:
                calls[peer] = call
        check = self._truths.check(case, first_result(ours()), theirs, row.flops)
        row.verdict, row.note = check.verdict, check.note or "; ".join(missing)
        row.error_in_torchs, row.error_share = check.error_in_torchs, check.error_share
        if check.verdict == "failed":
            return
        del theirs
        row.times_us = self.clock.time(calls, self.seconds)
        row.warm_us = self.clock.warm(calls)


def _one_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def refuse_what_does_not_fit(problem: Problem, device: str) -> None:
    """On a CPU too little memory ends the process, so it is asked beforehand."""
    if device != "cpu":
        return
    element = ELEMENT_BYTES[problem.dtype]
    tensors = _C.plan(problem, "forward").bytes
    # The operands, results of ours and torch's, torch's reordered copies, the float64 of a check.
    needed = tensors * 4 + tensors / element * 8
    free = _available_bytes()
    if free is not None and needed > free:
        raise MemoryError(f"needs about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")


def _available_bytes() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return float(found[0]) * 1024 if found else None
