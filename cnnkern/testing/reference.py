# SPDX-License-Identifier: BSD-3-Clause
"""A problem as torch computes it, in any dtype: what every other implementation is held against.

Where torch lacks what a problem asks for (padding that differs before and after, max pooling
windows without a single element), the same is said in torch's words on a padded copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _C

__all__ = ["Call", "has_empty_windows", "reference", "torch_serves"]


@dataclass(frozen=True)
class Call:
    """A problem as the call that it reads like."""

    text: str
    op: str
    rank: int
    input_size: tuple[int, ...]
    weight_size: tuple[int, ...] | None
    output_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    bias: bool
    relu: bool
    ceil_mode: bool
    count_include_pad: bool
    divisor: int
    dtype: torch.dtype
    channels_last: bool
    adaptive: bool = False  # then output_size is the call's, and kernel_size the largest window
    tf32: bool = False  # operands may be rounded so, on a GPU

    @staticmethod
    def parse(text: str) -> Call:
        """Read a problem's text; ValueError, pointing at the column, where it is not one."""
        return _call_of(text, _C.parse(text))

    @property
    def is_pool(self) -> bool:
        return "pool" in self.op

    @property
    def accumulator_roundoff(self) -> float | None:
        """Of the error rule, where it is not the accumulator's own: operands in tf32."""
        return 2.0**-11 if self.tf32 else None

    @property
    def is_max(self) -> bool:
        """Whether it is a max pool, adaptive or not."""
        return "max_pool" in self.op

    @property
    def is_average(self) -> bool:
        """Whether it is an average pool, adaptive or not."""
        return "avg_pool" in self.op

    @property
    def is_transposed(self) -> bool:
        return "transpose" in self.op

    @property
    def symmetric(self) -> bool:
        """Whether torch can say the padding, as much after as before."""
        return all(before == after for before, after in self.padding)

    @property
    def bias_size(self) -> tuple[int]:
        return (self.output_size[1],)

    @property
    def flat_padding(self) -> list[int]:
        """Before and after by axis, as the operators take it."""
        return [amount for pair in self.padding for amount in pair]

    @property
    def window_lists(self) -> tuple[list[int], ...]:
        """Kernel, stride, padding, dilation as a pool's operators take them: none if adaptive."""
        if self.adaptive:
            return [], [], [], []
        return list(self.kernel_size), list(self.stride), self.flat_padding, list(self.dilation)

    @property
    def window_count(self) -> list[int]:
        """The output size that an adaptive pool's operators take last; of others nothing."""
        return list(self.output_size[2:]) if self.adaptive else []

    @property
    def tensor_sizes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors that the call takes, in their order."""
        sizes = {"input": self.input_size}
        if self.weight_size is not None:
            sizes["weight"] = self.weight_size
        return sizes | ({"bias": self.bias_size} if self.bias else {})

    def laid_out(self, tensor: Tensor) -> Tensor:
        """The tensor in the problem's format; biases have none."""
        if not self.channels_last or tensor.dim() < 3:
            return tensor.contiguous()
        return tensor.movedim(1, -1).contiguous().movedim(-1, 1)

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the call, those that have their default left out."""
        if self.adaptive:
            return {"output_size": self.output_size[2:]}
        padding = tuple(before for before, _ in self.padding) if self.symmetric else self.padding
        given: dict[str, tuple[Any, Any]] = {
            "stride": (self.stride, self.kernel_size if self.is_pool else (1,) * self.rank),
            "padding": (padding, (0,) * self.rank),
            "dilation": (self.dilation, (1,) * self.rank),
            "output_padding": (self.output_padding, (0,) * self.rank),
            "groups": (self.groups, 1),
            "activation": ("relu" if self.relu else None, None),
            "ceil_mode": (self.ceil_mode, False),
            "count_include_pad": (self.count_include_pad, True),
            "divisor_override": (self.divisor or None, None),
        }
        words = {name: value for name, (value, default) in given.items() if value != default}
        return ({"kernel_size": self.kernel_size} | words) if self.is_pool else words

    def run(
        self, function: Callable[..., Tensor], tensors: Sequence[Tensor], **extra: Any
    ) -> Tensor:
        """Call ``function`` with the tensors (input; weight and bias of a convolution)."""
        return function(*tensors, **self.arguments(), **extra)


def reference(
    call: Call, input: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """The problem by torch's operators, in the tensors' dtype, differentiable; without its ReLU.

    Args:
        call: the problem.
        input: (N, C, \\*).
        weight: of a convolution.
        bias: of a convolution that has one.

    Returns:
        The result, of ``call.output_size``.
    """
    if call.adaptive:
        if 0 in call.output_size[2:]:  # torch refuses the gradient of no windows, which is zero
            return input.flatten(1)[:, :0].reshape(call.output_size)
        return _tensor(getattr(F, call.op)(input, call.output_size[2:]))
    if weight is None:
        return (_max_pool if call.is_max else _avg_pool)(call, input)
    return (_conv_transpose if call.is_transposed else _conv)(call, input, weight, bias)


def torch_serves(call: Call) -> bool:
    """Whether the problem's namesake in :mod:`torch.nn.functional` takes it, and does no harm.

    >>> torch_serves(Call.parse("max_pool2d 1x1x9x9 kernel=2 padding=0:1"))
    False
    """
    if call.adaptive:
        return True
    if not call.symmetric or call.relu:
        return False
    if call.is_max:
        # max_pool1d, unlike its kin, holds padding against the kernel as if it were not dilated.
        halves = [k // 2 for k in call.kernel_size]
        small = all(before <= half for (before, _), half in zip(call.padding, halves, strict=True))
        return small and not has_empty_windows(call)
    if call.op == "avg_pool3d":  # refuses a kernel larger than the input, whatever the padding
        return all(k <= n for k, n in zip(call.kernel_size, call.input_size[2:], strict=True))
    return True


def _conv(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    padding: Sequence[int] = [before for before, _ in call.padding]
    if not call.symmetric:
        input, padding = _pad(input, call.padding), [0] * call.rank
    function = getattr(F, call.op)
    result: Tensor = function(input, weight, bias, call.stride, padding, call.dilation, call.groups)
    return result


def _conv_transpose(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    function, rest = getattr(F, call.op), (call.groups, call.dilation)
    result: Tensor
    if call.symmetric:
        padding = [before for before, _ in call.padding]
        result = function(input, weight, bias, call.stride, padding, call.output_padding, *rest)
        return result
    result = function(input, weight, None, call.stride, 0, 0, *rest)
    # Longer first: where little is left, what is cut off before reaches into what is added after.
    result = _pad(result, [(0, extra) for extra in call.output_padding])
    result = _pad(result, [(-before, -after) for before, after in call.padding])
    return result if bias is None else result + bias.view(-1, *[1] * call.rank)


def _max_pool(call: Call, input: Tensor) -> Tensor:
    function = getattr(F, call.op)
    if torch_serves(call):
        padding = [before for before, _ in call.padding]
        geometry = (call.kernel_size, call.stride, padding, call.dilation, call.ceil_mode)
        return _tensor(function(input, *geometry))
    padded = _pad(input, _full_padding(call), -math.inf)
    return _tensor(function(padded, call.kernel_size, call.stride, 0, call.dilation))


def _avg_pool(call: Call, input: Tensor) -> Tensor:
    function = getattr(F, call.op)
    if torch_serves(call):
        padding = [before for before, _ in call.padding]
        mode = [call.ceil_mode, call.count_include_pad]
        mode += [call.divisor or None] if call.rank > 1 else []  # type: ignore[list-item]
        return _tensor(function(input, call.kernel_size, call.stride, padding, *mode))
    full = _full_padding(call)
    sums = _window_sums(call, _pad(input, full))
    if call.divisor:
        return sums / call.divisor
    counted = torch.ones_like(input[:1, :1], dtype=torch.float64).detach()
    if call.count_include_pad:
        counted = _pad(counted, call.padding, 1.0)
        full = tuple((0, after - a) for (_, after), (_, a) in zip(full, call.padding, strict=True))
    return sums / _window_sums(call, _pad(counted, full)).to(input.dtype)


def _window_sums(call: Call, input: Tensor) -> Tensor:
    if call.rank > 1:
        return _tensor(
            getattr(F, call.op)(input, call.kernel_size, call.stride, divisor_override=1)
        )
    kernel, stride = (1, *call.kernel_size), (1, *call.stride)
    return F.avg_pool2d(input.unsqueeze(-2), kernel, stride, divisor_override=1).squeeze(-2)


def _full_padding(call: Call) -> tuple[tuple[int, int], ...]:
    """Padding that makes every window lie inside, the last ones of ceil_mode included."""
    pairs = []
    for axis in range(call.rank):
        before, _ = call.padding[axis]
        span = call.dilation[axis] * (call.kernel_size[axis] - 1) + 1
        end = (call.output_size[2 + axis] - 1) * call.stride[axis] + span
        pairs.append((before, end - before - call.input_size[2 + axis]))
    return tuple(pairs)


def has_empty_windows(call: Call) -> bool:
    """Whether a window's taps all miss the input; torch's backward then writes out of bounds."""
    if call.adaptive:
        return False
    for axis in range(call.rank):
        for p in range(call.output_size[2 + axis]):
            first = p * call.stride[axis] - call.padding[axis][0]
            taps = (first + r * call.dilation[axis] for r in range(call.kernel_size[axis]))
            if not any(0 <= tap < call.input_size[2 + axis] for tap in taps):
                return True
    return False


def _pad(input: Tensor, pairs: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    flat = [amount for pair in reversed(pairs) for amount in pair]
    return F.pad(input, flat, value=value)


def _tensor(result: Any) -> Tensor:
    assert isinstance(result, Tensor)
    return result


def _call_of(text: str, problem: Any) -> Call:
    spatial = problem.rank
    pool = "pool" in problem.op
    return Call(
        text=text,
        op=problem.op,
        rank=spatial,
        input_size=tuple(problem.input_size),
        weight_size=None if pool else tuple(problem.weight_size),
        output_size=tuple(problem.output_size),
        kernel_size=tuple(problem.kernel_size),
        stride=tuple(problem.stride),
        padding=tuple((before, after) for before, after in problem.padding),
        dilation=tuple(problem.dilation),
        output_padding=tuple(getattr(problem, "output_padding", (0,) * spatial)),
        groups=getattr(problem, "groups", 1),
        bias=bool(getattr(problem, "bias", False)),
        relu=bool(getattr(problem, "relu", False)),
        ceil_mode=bool(getattr(problem, "ceil_mode", False)),
        count_include_pad=bool(getattr(problem, "count_include_pad", True)),
        divisor=int(getattr(problem, "divisor", 0) or 0),
        dtype=getattr(torch, problem.dtype),
        channels_last=problem.format == "channels_last",
        adaptive=bool(getattr(problem, "adaptive", False)),
        tf32=bool(getattr(problem, "tf32", False)),
    )
