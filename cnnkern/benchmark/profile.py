# SPDX-License-Identifier: BSD-3-Clause
"""A model's convolutions and pools, layer by layer: what each costs, and what it could cost."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..problem import Problem
from .clock import clock_of
from .limits import measure_limits, precision_of
from .measure import DIRECTIONS, Bench
from .results import Row
from .trace import distinct, trace

__all__ = ["Profile", "ProfiledLayer", "profile"]

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class ProfiledLayer:
    """A problem of the model in one direction.

    ``count`` of its layers have the problem; ``share`` is their part of the time of all rows.
    ``memory_bytes``: what the direction allocates, its result and its workspace.
    """

    row: Row
    count: int
    share: float
    memory_bytes: int


@dataclass(frozen=True)
class Profile:
    """What :func:`cnnkern.profile` measured; ``print`` it, or walk ``layers``.

    ``skipped`` counts the calls of the model that are no problem of cnnkern, by kind.
    """

    layers: list[ProfiledLayer]
    limits: dict[str, Any] = field(repr=False)
    skipped: dict[str, int]

    @property
    def total_us(self) -> float:
        """Microseconds of all its convolutions and pools, ours."""
        return sum(p.row.us.median * p.count for p in self.layers if p.row.timed)

    @property
    def torch_us(self) -> float:
        """The same by torch; ``nan`` where it was not timed on all of them."""
        times = [p.row.us.median * p.row.ratio("torch").median * p.count
                 if "torch" in p.row.times_us else math.nan
                 for p in self.layers if p.row.timed]  # fmt: skip
        return sum(times)

    def __str__(self) -> str:
        from rich.console import Console

        from .tables import profile_table
        from .units import time

        # As wide as its widest: this is text, and whoever prints it cuts or wraps it.
        console = Console(file=io.StringIO(), width=160, highlight=False)
        console.print(profile_table(self.layers))
        total = f"In all {time(self.total_us)}"
        if not math.isnan(self.torch_us):
            total += f", by torch {time(self.torch_us)} ({self.torch_us / self.total_us:.2f} times)"
        console.print(total + "; each direction alone, without what lies between the layers.")
        if self.skipped:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in self.skipped.items())
            console.print(f"Not measured: {kinds}")
        text = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def profile(
    model: nn.Module,
    *inputs: Any,
    directions: Sequence[str] = DIRECTIONS,
    peers: Sequence[str] = ("torch",),
    seconds: float = 0.2,
) -> Profile:
    """Measures each convolution and pool that a model runs on its inputs.

    The model is called once to see them; then each distinct problem is checked against float64 and
    timed by itself, beside torch, on random tensors of its sizes, dtype and memory format.

    Args:
        model: any module, of torch's layers, of cnnkern's or of functional calls.
        inputs: what it is called with; they say dtype, sizes and device.
        directions: of ``"forward"``, ``"input_grad"``, ``"weight_grad"``.
        peers: beside us; of :data:`cnnkern.benchmark.case.PEERS`.
        seconds: to spend on timing each row.

    Returns:
        A row for each distinct problem and direction, the slowest layers first.

    Raises:
        ValueError: an unknown direction or peer, or the model runs no convolution or pool.
        Exception: whatever the model raises.

    Example:
        >>> import torch, cnnkern
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 5), torch.nn.MaxPool2d(2))
        >>> result = cnnkern.profile(model, torch.zeros(1, 1, 28, 28), directions=["forward"])
        >>> sorted({layer.row.name for layer in result.layers})
        ['0', '1']
    """
    _check("directions", directions, DIRECTIONS)
    traced = trace(model, *inputs)
    layers = distinct(traced.layers)
    if not layers:
        raise ValueError("profile: the model ran no convolution or pool on these inputs")
    device = _device_of(model, inputs)
    clock = clock_of(device)
    dtypes = tuple(dict.fromkeys(precision_of(layer.problem, clock.device) for layer in layers))
    limits = measure_limits(clock, dtypes)
    bench = Bench(clock, limits, directions, peers=peers, seconds=seconds)
    # Training needs a max pool's argmax, inference does not: one of both counts.
    other = "forward" if "input_grad" in directions else "forward_argmax"
    rows = [
        (row, layer)
        for layer in layers
        for row in bench.rows(layer)
        if not ("max_pool" in layer.problem.op and row.direction == other)
    ]
    total = sum(row.us.median * layer.count for row, layer in rows if row.timed) or math.nan
    found = [
        ProfiledLayer(
            row,
            layer.count,
            row.us.median * layer.count / total if row.timed else 0.0,
            _result_bytes(layer.problem, row.direction) + row.workspace_bytes,
        )
        for row, layer in rows
    ]
    return Profile(sorted(found, key=lambda p: -p.share), limits, traced.skipped)


def _check(name: str, values: Sequence[str], valid: Sequence[str]) -> None:
    for value in values:
        if value not in valid:
            raise ValueError(f"profile: expected {name} of {', '.join(valid)}, got {value!r}")


def _device_of(model: nn.Module, inputs: Sequence[Any]) -> str:
    tensors = [value for value in inputs if hasattr(value, "device")] + list(model.parameters())
    return "cuda" if any(t.device.type == "cuda" for t in tensors) else "cpu"


def _result_bytes(problem: Problem, direction: str) -> int:
    if direction == "weight_grad":
        size = getattr(problem, "weight_size", ())
    else:
        size = problem.input_size if direction == "input_grad" else problem.output_size
    elements = math.prod(size)
    argmax = elements if direction == "forward_argmax" else 0
    return elements * BYTES[problem.dtype] + argmax
