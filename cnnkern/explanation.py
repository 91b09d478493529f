# SPDX-License-Identifier: BSD-3-Clause
"""Says which algorithm serves a problem in each direction, what it costs, and why no other does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import _C
from .problem import ConvProblem, PoolProblem, Problem, problem_of

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """The plans of a problem, one a direction; ``str()`` is a text to read."""

    problem: Problem
    plans: tuple[_C.Plan, ...]
    device: str  # in words: avx512 with 8 threads

    def __str__(self) -> str:
        parts = [*_head(self.problem), "", *self._table(), *self._files(), *self._refusals()]
        return "\n".join([*parts, "", self._foot()])

    def _table(self) -> Iterable[str]:
        sums = "float64" if self.problem.dtype == "float64" else "float32"
        if "max_pool" in self.problem.op:
            sums = "-"
        tiled = any(plan.tile for plan in self.plans)
        rows = [
            (
                *("direction", "algorithm", *(("tile", "split") if tiled else ())),
                *("workspace", "predicted", "bound by", "FLOPs", "bytes"),
                *("sums in", "batch-invariant"),
            )
        ]
        for plan in self.plans:
            tiling = (plan.tile or "-", str(plan.split)) if tiled else ()
            rows.append(
                (
                    plan.direction,
                    plan.algorithm,
                    *tiling,
                    _binary(plan.workspace_bytes),
                    _time(plan.predicted_us),
                    plan.bound,
                    _decimal(plan.flops),
                    _decimal(plan.bytes),
                    sums,
                    "yes" if plan.batch_invariant else "no",
                )
            )
        return _aligned(rows)

    def _files(self) -> Iterable[str]:
        named = [plan for plan in self.plans if plan.file]
        yield from [""] * bool(named)
        for plan in named:
            yield (
                f"{plan.direction}: {plan.algorithm} by the plan file, {plan.file}; without it "
                f"{plan.otherwise}"
            )

    def _refusals(self) -> Iterable[str]:
        for plan in self.plans:
            if plan.refused:
                yield ""
                yield f"{plan.direction} not by"
                yield from ("  " + line for line in _aligned(plan.refused))

    def _foot(self) -> str:
        return (
            f"Predictions are of nominal rates, {self.device}; they compare algorithms, they are "
            "not measured."
        )


def explain(
    problem: str | Problem | nn.Module,
    input: Tensor | None = None,
    *,
    algorithm: str | None = None,
    device: str | None = None,
) -> Explanation:
    """Explains a problem, or a layer with an input.

    Args:
        problem: a problem or its text, or a layer of torch.nn or cnnkern.nn.
        input: what the layer would be called with.
        algorithm: the one that must serve; by default the layer's own, or the plan's choice.
        device: what would run it: ``"cpu"`` is this machine's processor, ``"cuda"`` its GPU; other
            GPUs are known by their names and need not be here: ``"H200"``, ``"H100"``, ``"A100"``,
            ``"L4"``, ``"RTX 4090"``. By default that of the input, else the processor. On a GPU the
            fastest by prediction serves, which may be another one for another batch; a named
            algorithm that is batch-invariant keeps a sample's bits in all of them. A plan file in
            force (:func:`cnnkern.load_plans`) stands before both rules.

    Returns:
        The plan of every direction; ``print`` it.

    Raises:
        TypeError: a layer without an input, or an input without a layer.
        ValueError: the text is no problem, the layer does not take the input, or no device has
            this name.
        RuntimeError: the named algorithm does not serve the problem; the text says why.

    Example:
        >>> import torch, cnnkern
        >>> print(cnnkern.explain("conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1"))
        conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1
        input (8, 64, 56, 56), weight (128, 64, 3, 3) -> output (8, 128, 28, 28)
        ...
        >>> depthwise = cnnkern.explain("conv2d 8x64x56x56 64x1x3x3 padding=1", device="H200")
        >>> [plan.algorithm for plan in depthwise.plans]
        ['depthwise', 'depthwise', 'depthwise']
        >>> layer = torch.nn.MaxPool2d(2)
        >>> [plan.direction for plan in cnnkern.explain(layer, torch.zeros(1, 6, 24, 24)).plans]
        ['forward', 'input_grad']
    """
    if isinstance(problem, nn.Module):
        if input is None:
            raise TypeError("explain: expected an input beside the layer")
        algorithm = algorithm or getattr(problem, "algorithm", "auto")
        device = str(input.device) if device is None and input.is_cuda else device
        problem = _in_torchs_precision(problem_of(problem, input), device or "cpu")
    elif input is not None:
        raise TypeError("explain: expected an input only beside a layer")
    if isinstance(problem, str):
        problem = _C.parse(problem)
    device = "cpu" if device is None else device
    plans = tuple(
        _C.plan(problem, direction, algorithm or "auto", device=device)
        for direction in problem.directions()
    )
    return Explanation(problem, plans, _in_words(device))


def _in_torchs_precision(problem: Problem, device: str) -> Problem:
    """On a GPU float32 operands may be rounded to tf32 where torch's switch for cuDNN allows it."""
    exact = device == "cpu" or problem.dtype != "float32" or isinstance(problem, PoolProblem)
    cudnn: Any = torch.backends.cudnn
    if exact or cudnn.conv.fp32_precision != "tf32":
        return problem
    return _C.parse(f"{problem} tf32")


def _head(problem: Problem) -> Iterable[str]:
    yield str(problem)
    weight = f", weight {problem.weight_size}" if isinstance(problem, ConvProblem) else ""
    yield f"input {problem.input_size}{weight} -> output {problem.output_size}"
    if isinstance(problem, PoolProblem) and problem.adaptive:
        same = problem.sliding
        largest = "x".join(map(str, problem.kernel_size))
        yield f"windows slide: {same}" if same else f"windows of different sizes, at most {largest}"


def _in_words(device: str) -> str:
    facts = _C.device_traits(device)
    cores = "thread" if device == "cpu" else "multiprocessor"
    return f"{facts['name']} with {facts['cores']} {cores}{'' if facts['cores'] == 1 else 's'}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _scaled(value: float, units: Sequence[str], step: float) -> str:
    steps = 0
    # Three digits are shown: what rounds to a whole step belongs to the next unit.
    while value >= step * 0.9995 and steps + 1 < len(units):
        value /= step
        steps += 1
    digits = 0 if steps == 0 and value == int(value) else max(0, 3 - len(str(int(value))))
    return f"{value:.{digits}f} {units[steps]}".rstrip()


def _binary(size: int) -> str:
    return _scaled(size, ("B", "KiB", "MiB", "GiB", "TiB"), 1024)


def _decimal(count: float) -> str:
    return _scaled(count, ("", "k", "M", "G", "T", "P"), 1000)


def _time(us: float) -> str:
    return _scaled(us, ("us", "ms", "s"), 1000)
