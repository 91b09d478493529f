# SPDX-License-Identifier: BSD-3-Clause
"""Tensors that give a kernel away when it reads or writes where it must not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import WrongResult

__all__ = ["Guarded", "guarded_like", "poisoned_allocations", "random_integers", "random_normal"]

# Odd, so that data behind it sits on no vector's boundary; wider than any vector.
_GUARD = 129


@dataclass(frozen=True)
class Guarded:
    """A tensor inside a larger buffer of NaN.

    A kernel that reads a neighbour returns NaN; one that writes is found by :meth:`check`.
    """

    tensor: Tensor
    buffer: Tensor
    before: Tensor

    def check(self, name: str = "input") -> None:
        """Raise WrongResult where one bit of the buffer, the tensor's own included, changed."""
        changed = (_bits(self.buffer) != self.before).nonzero()
        if len(changed):
            raise WrongResult(
                f"{name}: {len(changed)} elements of its buffer were written, the first at "
                f"{int(changed[0])} of {self.buffer.numel()}",
                "memory",
            )


def guarded_like(tensor: Tensor, *, strided: bool = False) -> Guarded:
    """Copy a tensor into a buffer of NaN, values and order of axes kept.

    Args:
        tensor: floating point, any shape, dense in any order of its axes.
        strided: leave gaps of NaN also between the elements: one on either side of every axis, and
            every second element of the innermost axis. By default the copy is dense, at an address
            that is a multiple of nothing but the element.

    Returns:
        The copy (a leaf that needs no gradient) and its buffer.

    Example:
        >>> guarded = guarded_like(torch.ones(2, 3), strided=True)
        >>> guarded.tensor.stride(), bool(guarded.buffer.isnan().any())
        ((10, 2), True)
        >>> guarded.check()
    """
    original = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda axis: (-original[axis], axis))
    sizes = [tensor.shape[axis] for axis in order]
    margin, step = (1, 2) if strided else (0, 1)
    room = [size + 2 * margin for size in sizes]
    if room:
        room[-1] *= step
    strides = [
        math.prod(room[i + 1 :]) * (step if i == len(room) - 1 else 1) for i in range(len(room))
    ]
    start = _GUARD + margin * sum(strides)
    count = 2 * _GUARD + math.prod(room)
    buffer = torch.full((count,), math.nan, dtype=tensor.dtype, device=tensor.device)
    stride_of = dict(zip(order, strides, strict=True))
    view = buffer.as_strided(tensor.shape, [stride_of[a] for a in range(tensor.dim())], start)
    view.copy_(tensor.detach())
    return Guarded(view.detach(), buffer, _bits(buffer).clone())


@contextlib.contextmanager
def poisoned_allocations() -> Iterator[None]:
    """Fill every tensor that torch allocates inside with NaN (integers: the largest value).

    An element of an output or of a workspace that no kernel wrote then shows.
    """
    was, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(was, warn_only=warn)


def random_integers(
    size: Sequence[int], dtype: torch.dtype, generator: torch.Generator, limit: int = 3
) -> Tensor:
    """Integers from ``-limit`` to ``limit``, zero left out: every lost or doubled tap counts.

    Sums of their products are exact in float32 up to 2**24, so results can be compared by ``==``.
    """
    signs = torch.randint(0, 2, tuple(size), generator=generator) * 2 - 1
    return (torch.randint(1, limit + 1, tuple(size), generator=generator) * signs).to(dtype)


def random_normal(size: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Normal values, drawn in float64 and rounded to ``dtype``."""
    return torch.randn(tuple(size), dtype=torch.float64, generator=generator).to(dtype)


def _bits(tensor: Tensor) -> Tensor:
    """The tensor's bits as integers, so that NaN equals itself."""
    width = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.view(width[tensor.element_size()])
