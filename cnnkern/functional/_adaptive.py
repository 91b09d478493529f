# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive pools of every rank: arguments in torch's form, one operator call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from ._arguments import index, require_tensors, wrong_rank

OutputSize = int | Sequence[int | None]

_MAX_POOL: Any = torch.ops.cnnkern.max_pool.default
_MAX_POOL_INDICES: Any = torch.ops.cnnkern.max_pool_indices.default
_AVG_POOL: Callable[..., Tensor] = torch.ops.cnnkern.avg_pool.default

# Kernel, stride, padding and dilation of an adaptive pool, which has none.
NO_LISTS: tuple[tuple[()], ...] = ((), (), (), ())


def output_sizes(op: str, rank: int, output_size: Any, sizes: Sequence[int]) -> Sequence[int]:
    """Expands an output size to one int an axis.

    Args:
        op: what the user called, for the error text.
        rank: how many axes there are.
        output_size: an int, or a sequence of `rank` ints, where None keeps the input's size.
        sizes: the input's, of which the last `rank` count.

    Raises:
        TypeError: something in it is no integer.
        RuntimeError: the sequence has another length.
        ValueError: there are fewer sizes than axes.
    """
    if type(output_size) is int:
        return (index(op, "output_size", output_size),) * rank
    if not isinstance(output_size, Sequence) or isinstance(output_size, (str, bytes)):
        return (index(op, "output_size", output_size),) * rank
    if rank > 1 and len(sizes) <= len(output_size):
        raise ValueError(
            f"{op}: expected input of more than {len(output_size)} axes, got {len(sizes)}"
        )
    if len(output_size) != rank:
        _wrong_length(op, rank, output_size)
    own = sizes[-rank:]
    return tuple(
        # torch's pools over one axis keep no size.
        own[axis] if size is None and rank > 1 else index(op, "output_size", size, TypeError)
        for axis, size in enumerate(output_size)
    )


def _wrong_length(op: str, rank: int, output_size: Sequence[Any]) -> NoReturn:
    values = "value" if rank == 1 else "values"
    raise RuntimeError(
        f"{op}: expected output_size of {rank} {values}, got {len(output_size)}: "
        f"{tuple(output_size)}"
    )


def _batched(
    op: str, rank: int, input: Tensor, output_size: Any
) -> tuple[Tensor, bool, Sequence[int]]:
    if not isinstance(input, Tensor):
        require_tensors(op, input=input)
    sizes = output_sizes(op, rank, output_size, input.shape)
    dims = input.dim()
    if dims == rank + 2:
        return input, False, sizes
    if dims != rank + 1:
        wrong_rank(op, rank, input)
    return input.unsqueeze(0), True, sizes


def adaptive_max_pool(
    op: str, rank: int, input: Tensor, output_size: Any, return_indices: object
) -> Any:
    """Takes maxima; a pair (values, indices) if `return_indices`. `op` is what the user called."""
    input, single, sizes = _batched(op, rank, input, output_size)
    if not return_indices:
        y = _MAX_POOL(input, *NO_LISTS, False, False, sizes)[0]
        return y.squeeze(0) if single else y
    y, argmax = _MAX_POOL(input, *NO_LISTS, False, True, sizes)
    indices = _MAX_POOL_INDICES(argmax, input.shape, *NO_LISTS, False, sizes)
    return (y.squeeze(0), indices.squeeze(0)) if single else (y, indices)


def adaptive_avg_pool(op: str, rank: int, input: Tensor, output_size: Any) -> Tensor:
    """Takes averages. `op` is what the user called."""
    input, single, sizes = _batched(op, rank, input, output_size)
    y = _AVG_POOL(input, *NO_LISTS[:3], False, True, 0, sizes)
    return y.squeeze(0) if single else y
