# SPDX-License-Identifier: BSD-3-Clause
"""Which convolutions and pools a model runs, with the sizes that they meet.

Calls are seen where torch dispatches them: those of functionals too, those inside a layer that
someone wrote, and cnnkern's own. The path of the module that makes the call becomes its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules import conv, pooling
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..problem import Problem
from ._calls import adaptive_problem, problem_of_call
from .suites import Layer

__all__ = ["Trace", "distinct", "trace"]

_LAYERS = (conv._ConvNd, pooling._MaxPoolNd, pooling._AvgPoolNd, pooling._AdaptiveMaxPoolNd,
           pooling._AdaptiveAvgPoolNd)  # fmt: skip


@dataclass
class Trace:
    """What ``trace`` saw.

    ``layers`` are the convolutions and pools in the order of their calls. ``skipped`` counts, by
    kind, the calls that are no problem of cnnkern: fractional pools, convolutions of complex
    numbers or integers.
    """

    layers: list[Layer] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


def trace(model: nn.Module, *inputs: Any, suite: str = "model") -> Trace:
    """Calls the model once and gives every convolution and pool that ran.

    The call is a usual one: in the model's own mode, training or not, on the inputs' device, with
    the caller's grad mode. With parameters and inputs on torch's ``meta`` device (or fake ones)
    nothing is computed, which makes large networks quick.

    Args:
        model: any module.
        inputs: what it is called with.
        suite: what the layers' ``suite`` says.

    Returns:
        The layers, and how many calls were none of our problems. A layer is called by the path of
        its module (``layer1.0.conv2``), a call of a functional by the module that makes it and
        the operator (``Mixed_5b.avg_pool2d``); ``#2`` follows where the same one runs again.
        The problem has the dtype, the memory format and the bias of the call. Over one axis, torch
        pools images with a height of 1, so pooling along the width of such images becomes 1-D too.

    Raises:
        Whatever the model raises.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.MaxPool2d(2))
        >>> for layer in trace(model, torch.zeros(1, 3, 32, 32)).layers:
        ...     print(layer.name, layer.problem)
        0 conv2d 1x3x32x32 8x3x3x3 bias
        1 max_pool2d 1x8x30x30 kernel=2
    """
    calls = _Calls()
    with calls.naming(model), _Adaptive(calls), _Dispatched(calls):
        model(*inputs)
    return Trace([Layer(suite, name, problem) for name, problem in calls.seen], dict(calls.skipped))


def distinct(layers: Sequence[Layer]) -> list[Layer]:
    """Each problem once, by the name of the first that has it; ``count`` says how many have it.

    Example:
        >>> model = torch.nn.Sequential(*[torch.nn.Conv2d(4, 4, 1) for _ in range(3)])
        >>> distinct(trace(model, torch.zeros(1, 4, 8, 8)).layers)[0].count
        3
    """
    found: dict[str, Layer] = {}
    for layer in layers:
        text = str(layer.problem)
        first = found.get(text)
        found[text] = replace(first, count=first.count + layer.count) if first else layer
    return list(found.values())


class _Calls:
    """The calls so far, and the modules that are running."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Problem]] = []
        self.skipped: Counter[str] = Counter()
        self._running: list[tuple[str, nn.Module]] = []
        self._names: Counter[str] = Counter()

    def found(self, found: Problem | str | None) -> None:
        if isinstance(found, str):
            self.skipped[found] += 1
        elif found is not None:
            self.add(found)

    def add(self, problem: Problem) -> None:
        path, module = self._running[-1]
        if not isinstance(module, _LAYERS) or not path:
            path = f"{path}.{problem.op}" if path else problem.op
        self._names[path] += 1
        again = self._names[path]
        self.seen.append((path if again == 1 else f"{path}#{again}", problem))

    @contextmanager
    def naming(self, model: nn.Module) -> Iterator[None]:
        def enters(path: str) -> Any:
            return lambda module, args: self._running.append((path, module))

        def leaves(module: nn.Module, args: Any, output: Any) -> None:
            self._running.pop()

        self._running.append(("", model))
        with ExitStack() as stack:
            for path, module in model.named_modules():
                before = module.register_forward_pre_hook(enters(path))
                after = module.register_forward_hook(leaves, always_call=True)
                stack.callback(before.remove)
                stack.callback(after.remove)
            yield


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, calls: _Calls) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = calls

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and func._can_decompose():
            # In this mode conv2d and its like arrive whole, not yet as one convolution.
            with self:
                return func.decompose(*args, **kwargs)
        output = func(*args, **kwargs)  # first, so that a wrong call is torch's error
        self.calls.found(problem_of_call(func, args, kwargs))
        return output


class _Adaptive(TorchFunctionMode):
    """Sees torch's adaptive pools, of which the dispatcher sees a mean where the output is 1x1."""

    def __init__(self, calls: _Calls) -> None:
        super().__init__()
        self.calls = calls

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        self.calls.found(adaptive_problem(getattr(func, "__name__", ""), args, kwargs))
        return output
