# SPDX-License-Identifier: BSD-3-Clause
"""Every operator as a function of the tensors that it differentiates, on small problems."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

OPS = torch.ops.cnnkern


@dataclass(frozen=True)
class Sample:
    """``op(*tensors, *rest)``; ``tensors`` are those that have derivatives."""

    op: str
    tensors: tuple[Tensor, ...]
    rest: tuple[Any, ...]

    @property
    def function(self) -> Callable[..., Any]:
        """The operator as a map of its tensors to its differentiable results."""
        op, rest = getattr(OPS, self.op), self.rest

        def apply(*tensors: Tensor) -> Any:
            result = op(*tensors, *rest)
            return result[0] if self.op in ("conv_block", "max_pool") else result

        return apply

    def leaves(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        return tuple(t.detach().to(dtype).requires_grad_() for t in self.tensors)


def _normal(*size: int) -> Tensor:
    generator = torch.Generator().manual_seed(math.prod(size))
    return torch.randn(size, dtype=torch.float64, generator=generator)


def _distinct(*size: int) -> Tensor:
    """Values so far apart that a finite difference never changes which one is the largest."""
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(math.prod(size), generator=generator).double().view(size) / 8


# By rank: input, weight, stride, padding, dilation; two groups, odd everything.
CONV = {
    1: ((2, 4, 9), (6, 2, 3), [2], [1, 0], [2]),
    2: ((2, 4, 5, 6), (6, 2, 3, 2), [2, 1], [1, 0, 0, 2], [1, 2]),
    3: ((1, 2, 3, 4, 3), (2, 1, 2, 3, 2), [1, 2, 1], [0, 1, 1, 1, 0, 0], [1, 1, 2]),
}
# By rank: input, kernel, stride, padding.
POOL = {
    1: ((2, 3, 9), [3], [2], [1, 1]),
    2: ((2, 3, 5, 6), [3, 2], [2, 1], [1, 0, 1, 1]),
    3: ((1, 2, 3, 4, 3), [2, 3, 2], [1, 2, 1], [0, 1, 1, 1, 0, 0]),
}


def _conv_samples(rank: int) -> dict[str, Sample]:
    input, weight, *lists = CONV[rank]
    rest = (*lists, 2)
    x, w, b = _normal(*input), _normal(*weight), _normal(weight[0])
    g = _normal(*OPS.conv(x, w, None, *rest, False, "auto").shape)
    size, wsize = list(input), list(weight)
    return {
        "conv": Sample("conv", (x, w, b), (*rest, False, "auto")),
        "conv with ReLU": Sample("conv", (x, w, b), (*rest, True, "auto")),
        "conv_add": Sample("conv_add", (x, w, b, _normal(*g.shape)), (*rest, False, "auto")),
        "conv_add with ReLU": Sample(
            "conv_add", (x, w, b, _normal(*g.shape)), (*rest, True, "auto")
        ),
        "conv_input_grad": Sample(
            "conv_input_grad", (g, w, _normal(input[1])), (size, *rest, False, "auto")
        ),
        "conv_input_grad with ReLU": Sample(
            "conv_input_grad", (g, w, _normal(input[1])), (size, *rest, True, "auto")
        ),
        "conv_weight_grad": Sample("conv_weight_grad", (g, x), (wsize, *rest, True, "auto")),
    }


def _border_samples(rank: int) -> dict[str, Sample]:
    input, weight, *lists = CONV[rank]
    groups = input[1] // weight[1]
    x, w, b = _normal(*input), _normal(*weight), _normal(weight[0])
    size, wsize = list(input), list(weight)
    samples = {}
    for mode in ("reflect", "replicate", "circular"):
        rest, how = (*lists, groups), (mode, "auto")
        g = _normal(*OPS.conv_border(x, w, None, *rest, False, *how).shape)
        of_weight = Sample("conv_border_weight_grad", (g, x), (wsize, *rest, True, *how))
        samples[f"conv_border, {mode}"] = Sample("conv_border", (x, w, b), (*rest, True, *how))
        samples[f"conv_border_input_grad, {mode}"] = Sample(
            "conv_border_input_grad", (g, w), (size, *rest, *how)
        )
        samples[f"conv_border_weight_grad, {mode}"] = of_weight
    return samples


# By rank: window, stride, padding of the pool over what CONV makes.
BLOCK = {
    1: ([2], [1], [1, 0]),
    2: ([2, 3], [1, 2], [1, 0, 0, 1]),
    3: ([2, 1, 2], [1, 1, 2], [0, 1, 0, 0, 1, 0]),
}


def _block_samples(rank: int) -> dict[str, Sample]:
    input, weight, *lists = CONV[rank]
    groups = input[1] // weight[1]
    rest = (*lists, groups, *BLOCK[rank], [1] * rank, True)
    x, w, b = _normal(*input), _normal(*weight), _normal(weight[0])
    samples = {}
    for name, relu in (("", False), (" with ReLU", True)):
        y, argmax = OPS.conv_block(x, w, b, *rest, relu, True, "auto")
        grad = (y if relu else None, argmax, list(input), list(weight), *rest, [True] * 3, "auto")
        samples["conv_block" + name] = Sample("conv_block", (x, w, b), (*rest, relu, True, "auto"))
        samples["conv_block_grad" + name] = Sample(
            "conv_block_grad", (_normal(*y.shape), x, w), grad
        )
    return samples


def _pool_samples(rank: int) -> dict[str, Sample]:
    input, kernel, stride, padding = POOL[rank]
    x, ones, size = _distinct(*input), [1] * rank, list(input)
    lists = (kernel, stride, padding, ones, True)
    y, argmax = OPS.max_pool(x, *lists, True, [])
    average = (kernel, stride, padding, True, False, 0, [])
    g = _normal(*y.shape)
    return {
        "max_pool": Sample("max_pool", (x,), (*lists, True, [])),
        "max_pool_grad": Sample("max_pool_grad", (g,), (argmax, size, *lists, [])),
        "max_pool_gather": Sample("max_pool_gather", (x,), (argmax, *lists, [])),
        "avg_pool": Sample("avg_pool", (x,), average),
        "avg_pool_grad": Sample("avg_pool_grad", (g,), (size, *average)),
        **_adaptive_samples(x),
    }


def _adaptive_samples(x: Tensor) -> dict[str, Sample]:
    # Windows of different sizes along the first axis, of one size along the second, where it is.
    count, size = [2, 3, 2][: x.dim() - 2], list(x.shape)
    lists: tuple[Any, ...] = ([], [], [], [], False)
    y, argmax = OPS.max_pool(x, *lists, True, count)
    average = ([], [], [], False, True, 0, count)
    g = _normal(*y.shape)
    return {
        "adaptive max_pool": Sample("max_pool", (x,), (*lists, True, count)),
        "adaptive max_pool_grad": Sample("max_pool_grad", (g,), (argmax, size, *lists, count)),
        "adaptive max_pool_gather": Sample("max_pool_gather", (x,), (argmax, *lists, count)),
        "adaptive avg_pool": Sample("avg_pool", (x,), average),
        "adaptive avg_pool_grad": Sample("avg_pool_grad", (g,), (size, *average)),
    }


def _unpool_samples(rank: int) -> dict[str, Sample]:
    input, kernel, stride, padding = POOL[rank]
    lists = (kernel, stride, padding, [1] * rank, True)
    _, argmax = OPS.max_pool(_distinct(*input), *lists, True, [])
    # Windows overlap, so some of their maxima share an index: what is read twice adds up in the
    # second derivative. Values that go to one place do not, so those are apart.
    shared = OPS.max_pool_indices(argmax, list(input), *lists, [])
    count, plane = math.prod(shared.shape[2:]), math.prod(input[2:])
    apart = torch.stack([torch.randperm(plane)[:count] for _ in range(input[0] * input[1])])
    return {
        "max_unpool": Sample(
            "max_unpool", (_normal(*shared.shape),), (apart.view(shared.shape), input[2:])
        ),
        "max_unpool_grad": Sample("max_unpool_grad", (_normal(*input),), (shared,)),
    }


def samples() -> dict[str, Sample]:
    """Every differentiable operator at every rank, by a name to read in test ids."""
    return {
        f"{name}, rank {rank}": sample
        for rank in (1, 2, 3)
        for name, sample in (
            _conv_samples(rank)
            | _border_samples(rank)
            | _block_samples(rank)
            | _pool_samples(rank)
            | _unpool_samples(rank)
        ).items()
    }


def all_arguments(sample: Sample, dtype: torch.dtype, needs_grad: bool) -> tuple[Any, ...]:
    rest = (
        r.to(dtype) if isinstance(r, Tensor) and r.is_floating_point() else r for r in sample.rest
    )
    return (*(t.to(dtype).requires_grad_(needs_grad) for t in sample.tensors), *rest)
