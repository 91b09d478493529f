# SPDX-License-Identifier: BSD-3-Clause
"""Sends calls of torch.nn.functional to cnnkern.functional, for models that call it themselves."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.overrides import TorchFunctionMode

from . import _C, functional
from .convert import is_plain
from .explanation import _aligned
from .functional._arguments import DTYPES, dtype_text

__all__ = ["OverriddenCalls", "override"]


@dataclass
class OverriddenCalls:
    """How often a function was called: ``served`` by cnnkern, ``refused`` (by torch) and why."""

    served: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class override(TorchFunctionMode):
    """Within it, torch's convolutions and pools run on cnnkern wherever they are called.

    That is ``torch.nn.functional.conv2d`` and every other function there that cnnkern.functional
    has, too, by whichever of its names (``torch.conv2d``, ``max_pool2d_with_indices``,
    ``torch.convolution``), called directly or by a layer. Tensors of other dtypes, layouts or
    devices than cnnkern's go to torch as before. Gradients are cnnkern's also after the ``with``;
    what recomputes a forward during the backward (activation checkpointing) does so with torch
    then, so keep its backward inside. As every mode of torch it holds for one thread.

    Attributes:
        calls: by function, how many calls cnnkern served and torch did, with reasons; without
            those that torch.compile compiled, which are served alike. A compiled function guards
            on being within an override, and compiles again for being without.

    Example:
        >>> import torch, cnnkern
        >>> x, weight = torch.zeros(1, 1, 5, 5), torch.zeros(2, 1, 3, 3)
        >>> with cnnkern.override() as report:
        ...     _ = torch.nn.functional.conv2d(x, weight)
        ...     _ = torch.nn.functional.max_pool2d(x.int(), 2)
        >>> report.calls["conv2d"].served
        1
        >>> print(report)
        function    on cnnkern  on torch
        conv2d      1           0
        max_pool2d  0           1: dtype int32
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, OverriddenCalls] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        target = _TARGETS.get(func)
        if target is None:
            return func(*args, **kwargs)
        name, ours = target
        reason = _why_not(name, args, kwargs)
        if not is_compiling():  # which would compile the counting and run it without end
            calls = self.calls.setdefault(name, OverriddenCalls())
            calls.served += reason is None
            if reason is not None:
                calls.refused[reason] += 1
        return (func if reason else ours)(*args, **kwargs)

    def __str__(self) -> str:
        if not self.calls:
            return "No convolution or pooling function was called."
        rows = [("function", "on cnnkern", "on torch")]
        for name, calls in sorted(self.calls.items()):
            why = ", ".join(f"{reason} ({n})" for reason, n in calls.refused.most_common())
            if len(calls.refused) == 1:
                why = next(iter(calls.refused))
            count = str(calls.refused.total())
            rows.append((name, str(calls.served), f"{count}: {why}" if why else count))
        return "\n".join(_aligned(rows))


def _with_indices(ours: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **{**kwargs, "return_indices": True})

    return call


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Tensor:
    rank = weight.dim() - 2
    if not 1 <= rank <= 3:
        return torch.convolution(
            input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
        )
    rest: tuple[Any, ...]
    if transposed:
        ours = getattr(functional, f"conv_transpose{rank}d")
        rest = (output_padding, groups, dilation)
    else:
        ours, rest = getattr(functional, f"conv{rank}d"), (dilation, groups)
    y: Tensor = ours(input, weight, bias, stride, padding, *rest)
    return y


def _targets() -> dict[Any, tuple[str, Callable[..., Any]]]:
    # By name, so that a function that cnnkern.functional gains is served from then on.
    found: dict[Any, tuple[str, Callable[..., Any]]] = {
        torch.convolution: ("convolution", _convolution)
    }
    for name in functional.__all__:
        if name.endswith("_with_indices"):
            continue  # a name of what stands without it
        ours = getattr(functional, name)
        for space in (torch._C._nn, torch, torch.nn.functional):
            theirs = getattr(space, name, None)
            if theirs is not None:
                # Below torch.nn.functional an adaptive max pool always gives indices.
                both = name.startswith("adaptive_max") and space is not torch.nn.functional
                found[theirs] = (name, _with_indices(ours) if both else ours)
            theirs = getattr(space, f"{name}_with_indices", None)
            if theirs is not None:
                found[theirs] = (name, _with_indices(ours))
    return found


_TARGETS = _targets()
_built: Callable[[], Any] = functools.cache(_C.info)


@torch.compiler.assume_constant_result  # type: ignore[misc]
def _serves(device: str) -> bool:
    return device in ("cpu", "meta") or (device == "cuda" and bool(_built()["cuda"]))


def _why_not(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    if "out" in kwargs:
        return "out= is given"
    for key, value in _arguments(args, kwargs):
        if not isinstance(value, Tensor):
            continue
        if not is_plain(value):
            return f"a {type(value).__name__}"
        if value.is_nested or value.layout != torch.strided:
            return "nested" if value.is_nested else f"layout {str(value.layout).split('.')[-1]}"
        if not _serves(value.device.type):
            return f"device {value.device.type}"
        # The indices of an unpooling are the only ones that are no numbers to compute with.
        indices = name.startswith("max_unpool") and key in (1, "indices")
        if value.dtype not in DTYPES and not indices:
            return f"dtype {dtype_text(value.dtype)}"
    return None


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[tuple[Any, Any]]:
    return (*enumerate(args), *kwargs.items())
