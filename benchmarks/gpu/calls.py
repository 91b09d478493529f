# SPDX-License-Identifier: BSD-3-Clause
"""One problem in one direction as three calls on the same tensors: ours, torch's, and the truth."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import cnnkern  # noqa: E402

aten: Any = torch.ops.aten
own: Any = torch.ops.cnnkern


@dataclass(frozen=True)
class Case:
    """What is timed beside each other; `bytes` and `flops` are the least that any kernel needs."""

    direction: str
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    exact: Callable[[], Tensor]
    magnitude: Callable[[], Tensor]
    bytes: int
    flops: int


@dataclass(frozen=True)
class Place:
    """Where the tensors are and how they lie."""

    device: str
    dtype: torch.dtype
    channels_last: bool
    drawn_on: str = ""  # the device itself by default

    def normal(self, size: tuple[int, ...], seed: int) -> Tensor:
        source = self.drawn_on or self.device
        generator = torch.Generator(source).manual_seed(seed)
        values = torch.randn(size, generator=generator, device=source)
        return self.laid_out(values.to(self.dtype)).to(self.device)

    def laid_out(self, t: Tensor) -> Tensor:
        last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(t.dim())
        if not self.channels_last or last is None:
            return t.contiguous()
        return t.contiguous(memory_format=last)


def _bytes(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def cases(problem: Any, place: Place, algorithm: str = "auto") -> Iterator[Case]:
    """Every direction of a convolution or pooling."""
    if "pool" in problem.op:
        return _pool_cases(problem, place)
    return _conv_cases(problem, place, algorithm)


def _conv_cases(problem: Any, place: Place, algorithm: str) -> Iterator[Case]:
    x = place.normal(problem.input_size, 1)
    w = place.normal(problem.weight_size, 2)
    dy = place.normal(problem.output_size, 3)
    stride, dilation, groups = list(problem.stride), list(problem.dilation), problem.groups
    pads = [side for pair in problem.padding for side in pair]
    half = [before for before, _ in problem.padding]
    zero = [0] * problem.rank
    geometry = (stride, pads, dilation, groups)
    flops = 2 * dy.numel() * math.prod(problem.weight_size[1:])

    def forward(x: Tensor, w: Tensor) -> Tensor:
        result: Tensor = aten.convolution(x, w, None, stride, half, dilation, False, zero, groups)
        return result

    def backward(dy: Tensor, x: Tensor, w: Tensor, of_input: bool) -> Tensor:
        mask = [of_input, not of_input, False]
        results = aten.convolution_backward(
            dy, x, w, None, stride, half, dilation, False, zero, groups, mask
        )
        result: Tensor = results[0 if of_input else 1]
        return result

    yield Case(
        "forward",
        lambda: own.conv(x, w, None, *geometry, False, algorithm),
        lambda: forward(x, w),
        lambda: forward(x.double(), w.double()),
        lambda: forward(x.double().abs(), w.double().abs()),
        _bytes(x, w, dy),
        flops,
    )
    yield Case(
        "input_grad",
        lambda: own.conv_input_grad(dy, w, None, x.shape, *geometry, False, algorithm),
        lambda: backward(dy, x, w, True),
        lambda: backward(dy.double(), x.double(), w.double(), True),
        lambda: backward(dy.double().abs(), x.double(), w.double().abs(), True),
        _bytes(x, w, dy),
        flops,
    )
    yield Case(
        "weight_grad",
        lambda: own.conv_weight_grad(dy, x, w.shape, *geometry, False, algorithm)[0],
        lambda: backward(dy, x, w, False),
        lambda: backward(dy.double(), x.double(), w.double(), False),
        lambda: backward(dy.double().abs(), x.double().abs(), w.double(), False),
        _bytes(x, w, dy),
        flops,
    )


def _pool_cases(problem: Any, place: Place) -> Iterator[Case]:
    x = place.normal(problem.input_size, 1)
    dy = place.normal(problem.output_size, 3)
    kernel, stride = list(problem.kernel_size), list(problem.stride)
    pads = [side for pair in problem.padding for side in pair]
    half = [before for before, _ in problem.padding]
    ceil, name = problem.ceil_mode, f"{problem.op[:3]}_pool{problem.rank}d"
    flops = dy.numel() * math.prod(kernel)
    if problem.op.startswith("avg"):
        average, average_grad = getattr(aten, name), getattr(aten, f"{name}_backward")
        rest = (ceil, True, None)
        yield Case(
            "forward",
            lambda: own.avg_pool(x, kernel, stride, pads, ceil, True, 0),
            lambda: average(x, kernel, stride, half, *rest),
            lambda: average(x.double(), kernel, stride, half, *rest),
            lambda: average(x.double().abs(), kernel, stride, half, *rest),
            _bytes(x, dy),
            flops,
        )
        yield Case(
            "input_grad",
            lambda: own.avg_pool_grad(dy, x.shape, kernel, stride, pads, ceil, True, 0),
            lambda: average_grad(dy, x, kernel, stride, half, *rest),
            lambda: average_grad(dy.double(), x.double(), kernel, stride, half, *rest),
            lambda: average_grad(dy.double().abs(), x.double(), kernel, stride, half, *rest),
            _bytes(x, dy),
            flops,
        )
        return
    dilation = list(problem.dilation)
    geometry = (kernel, stride, pads, dilation, ceil)
    torch_geometry = (kernel, stride, half, dilation, ceil)
    maximum = getattr(aten, f"{name}_with_indices")
    maximum_grad = getattr(aten, f"{name}_with_indices_backward")
    argmax = own.max_pool(x, *geometry, True)[1]
    indices = maximum(x, *torch_geometry)[1]
    for direction, with_argmax in (("forward", False), ("forward_argmax", True)):
        yield Case(
            direction,
            partial(lambda argmax: own.max_pool(x, *geometry, argmax)[0], with_argmax),
            lambda: maximum(x, *torch_geometry)[0],
            lambda: maximum(x.double(), *torch_geometry)[0],
            lambda: torch.zeros((), dtype=torch.float64, device=x.device).expand(dy.shape),
            _bytes(x, dy) + (argmax.numel() if with_argmax else 0),
            flops,
        )
    yield Case(
        "input_grad",
        lambda: own.max_pool_grad(dy, argmax, x.shape, *geometry),
        lambda: maximum_grad(dy, x, *torch_geometry, indices),
        lambda: maximum_grad(dy.double(), x.double(), *torch_geometry, indices),
        lambda: maximum_grad(dy.double().abs(), x.double(), *torch_geometry, indices),
        _bytes(x, dy) + argmax.numel(),
        flops,
    )


def parse(text: str) -> Any:
    return cnnkern._C.parse(text)
