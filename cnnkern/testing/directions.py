# SPDX-License-Identifier: BSD-3-Clause
"""Each direction of a convolution by its own operator, so that each algorithm can be named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import _C
from .reference import Call
from .tensors import Guarded, guarded_like

__all__ = [
    "ALGORITHMS",
    "CPU_ALGORITHMS",
    "DIRECTIONS",
    "Operands",
    "draw",
    "expected",
    "run",
    "serving",
]

CPU_ALGORITHMS = ("direct", "depthwise", "im2col", "winograd")
ALGORITHMS = (*CPU_ALGORITHMS, "implicit_gemm")
DIRECTIONS = ("forward", "input_grad", "weight_grad")

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Operands:
    """What the three directions of one convolution take."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    grad: Tensor
    guards: tuple[Guarded, ...] = ()

    @property
    def tensors(self) -> list[Tensor]:
        """Input, weight and, where there is one, bias."""
        return [t for t in (self.input, self.weight, self.bias) if t is not None]


def draw(
    call: Call, random: Callable[..., Tensor], *, seed: int = 0, device: str = "cpu"
) -> Operands:
    """Operands of a convolution in its format, at addresses that no vector is aligned to.

    Their ``guards`` (of input, weight, bias and grad) tell when one was written to.

    Args:
        call: the problem.
        random: :func:`~cnnkern.testing.random_normal` or
            :func:`~cnnkern.testing.random_integers`.
        seed: of the random values.
        device: where the operands lie.
    """
    generator = torch.Generator().manual_seed(seed)

    def one(size: Sequence[int]) -> Guarded:
        return guarded_like(call.laid_out(random(size, call.dtype, generator)).to(device))

    assert call.weight_size is not None
    bias = one(call.bias_size) if call.bias else None
    input, weight, grad = (
        one(size) for size in (call.input_size, call.weight_size, call.output_size)
    )
    guards = [guard for guard in (input, weight, bias, grad) if guard is not None]
    bias_tensor = bias.tensor if bias is not None else None
    return Operands(input.tensor, weight.tensor, bias_tensor, grad.tensor, tuple(guards))


def serving(call: Call, direction: str, device: str = "cpu") -> list[str]:
    """The algorithms that do not refuse a convolution on a device that plans know."""
    problem = _C.parse(call.text)
    names = []
    for name in ALGORITHMS:
        try:
            _C.plan(problem, direction, name, device=device)
        except RuntimeError:
            continue
        names.append(name)
    return names


def run(call: Call, direction: str, operands: Operands, algorithm: str = "auto") -> list[Tensor]:
    """The output, the input's gradient, or the weight's (and the bias's, where there is one).

    Raises:
        RuntimeError: the algorithm does not serve the problem; says why.
    """
    o, ops = operands, torch.ops.cnnkern
    pair: tuple[Any, Any]
    lists = (call.stride, call.flat_padding, call.dilation, call.groups)
    if direction == "weight_grad":
        pair = (o.input, o.grad) if call.is_transposed else (o.grad, o.input)
        # A transposed convolution's bias is a channel of what is the input here.
        with_bias = call.bias and not call.is_transposed
        weight_grad, bias_grad = ops.conv_weight_grad(
            *pair, call.weight_size, *lists, with_bias, algorithm
        )
        return [weight_grad, bias_grad] if with_bias else [weight_grad]
    forward = direction == "forward"
    first, bias, relu = (o.input, o.bias, call.relu) if forward else (o.grad, None, False)
    if forward != call.is_transposed:
        return [ops.conv(first, o.weight, bias, *lists, relu, algorithm)]
    size = call.output_size if forward else call.input_size
    return [ops.conv_input_grad(first, o.weight, bias, size, *lists, relu, algorithm)]


def expected(call: Call, direction: str, values: list[_Value]) -> list[_Value]:
    """Those of the values (output, then gradients) that :func:`run` gives."""
    # A transposed convolution's bias is not the weight gradient's to give.
    gradients = values[2:3] if call.is_transposed else values[2:]
    return {"forward": values[:1], "input_grad": values[1:2], "weight_grad": gradients}[direction]
