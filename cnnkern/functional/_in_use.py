# SPDX-License-Identifier: BSD-3-Clause
"""Which algorithm ``cnnkern.use`` has put in place of "auto", for the thread that asks."""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _C
from . import _arguments as arguments


class Choice(NamedTuple):
    """What one ``use`` asks for, and what held before it."""

    algorithm: str
    otherwise: str | None
    before: Choice | None


class _PerThread(threading.local):
    # A local of the thread and no context variable: torch.compile guards on it.
    def __init__(self) -> None:
        self.choice: Choice | None = None


IN_USE = _PerThread()
# One entry for each ``use`` that some thread is within: a call asks no further where it is empty.
ACTIVE: list[None] = []


def algorithm_in_use(
    transposed: bool,
    input: Tensor,
    weight: Tensor,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    output_padding: Any = 0,
) -> str:
    """Gives what stands for "auto" in a convolution with these arguments, checked or not."""
    choice = IN_USE.choice
    if choice is None:
        return "auto"
    if choice.otherwise is None or choice.algorithm == "auto" or _is_meta(input):
        return choice.algorithm
    try:
        text = _problem(
            transposed, input, weight, stride, padding, dilation, groups, output_padding
        )
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return choice.otherwise  # the operator says what is wrong with them
    return choice.algorithm if _serves(text, choice.algorithm, input.device.type) else "auto"


def _is_meta(input: object) -> bool:
    return isinstance(input, Tensor) and input.device.type == "meta"


def _problem(
    transposed: bool,
    input: Tensor,
    weight: Tensor,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    output_padding: Any,
) -> str:
    rank = weight.dim() - 2
    op = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"
    shape = list(input.shape)
    if len(shape) == rank + 1:
        shape.insert(0, 1)
    words = [op, _text(shape, "x"), _text(weight.shape, "x")]
    for name, value in (("stride", stride), ("dilation", dilation)):
        words.append(f"{name}={_text(arguments.one_per_axis(op, rank, name, value))}")
    if isinstance(padding, str):
        words.append(f"padding={padding}")
    else:
        pads = arguments.before_and_after(op, rank, "padding", padding)
        pairs = [_text(pads[2 * i : 2 * i + 2], ":") for i in range(rank)]
        words.append(f"padding={','.join(pairs)}")
    words.append(f"groups={_text([groups])}")
    if transposed:
        extra = arguments.one_per_axis(op, rank, "output_padding", output_padding)
        words.append(f"output_padding={_text(extra)}")
    words.append(f"dtype={arguments.dtype_text(_dtype(input))}")
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(input.dim())
    if last and not input.is_contiguous() and input.is_contiguous(memory_format=last):
        words.append("format=channels_last")
    return " ".join(words)


def _text(values: Sequence[int], between: str = ",") -> str:
    # Traced sizes become numbers here: a plan is of one problem.
    return between.join([str(operator.index(value)) for value in values])


def _dtype(input: Tensor) -> torch.dtype:
    kind = input.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return input.dtype


@torch.compiler.assume_constant_result  # type: ignore[misc]
def _serves(text: str, algorithm: str, device: str) -> bool:
    return _plan_serves(text, algorithm, device)


@functools.lru_cache(4096)
def _plan_serves(text: str, algorithm: str, device: str) -> bool:
    try:
        problem = _C.parse(text)
    except ValueError:
        return False
    try:
        for direction in problem.directions():
            _C.plan(problem, direction, algorithm, device=device)
    except RuntimeError:
        return False
    return True
