# SPDX-License-Identifier: BSD-3-Clause
"""Max unpooling of every rank: the output's size, then one operator call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ._arguments import (
    Ints,
    before_and_after,
    index,
    one_per_axis,
    pool_stride,
    require_tensors,
    wrong_rank,
)

_MAX_UNPOOL: Callable[..., Tensor] = torch.ops.cnnkern.max_unpool.default


def max_unpool(
    op: str,
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints | Sequence[tuple[int, int]],
    output_size: Sequence[int] | None,
) -> Tensor:
    """Puts values where their indices say. `op` is what the user called, the rest its arguments."""
    require_tensors(op, input=input, indices=indices)
    dims = input.dim()
    if dims not in (rank + 1, rank + 2):
        wrong_rank(op, rank, input)
    size = unpooled_size(op, rank, input.shape[-rank:], kernel_size, stride, padding, output_size)
    if dims == rank + 2:
        return _MAX_UNPOOL(input, indices, size)
    return _MAX_UNPOOL(input.unsqueeze(0), indices.unsqueeze(0), size).squeeze(0)


def unpooled_size(
    op: str,
    rank: int,
    sizes: Sequence[int],
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints | Sequence[tuple[int, int]],
    output_size: Sequence[int] | None,
) -> list[int]:
    """Gives the spatial sizes that a pool made `sizes` of.

    Args:
        op: what the user called, for the error text.
        rank: how many axes there are.
        sizes: one per axis, of the pool's output.
        kernel_size: the pool's window.
        stride: its step.
        padding: its padding.
        output_size: None, or what the caller wants, with or without batch and channel.

    Raises:
        TypeError: something in them is no integer.
        ValueError: a size that is negative, or a stride or more away from the default.
        RuntimeError: a list of a wrong length; steps below 1 over three axes.
    """
    kernel = one_per_axis(op, rank, "kernel_size", kernel_size)
    strides = pool_stride(op, rank, stride, kernel)
    pads = before_and_after(op, rank, "padding", padding)
    default = [
        (n - 1) * s + k - before - after
        for n, s, k, before, after in zip(
            sizes, strides, kernel, pads[::2], pads[1::2], strict=True
        )
    ]
    size = default if output_size is None else _chosen(op, rank, default, strides, output_size)
    if any(n < 0 for n in size):
        raise ValueError(f"{op}: expected an output_size >= 0 on every axis, got {tuple(size)}")
    if rank == 3 and any(s < 1 for s in strides):
        raise RuntimeError(f"{op}: expected stride >= 1, got {tuple(strides)}")
    return size


def _chosen(
    op: str, rank: int, default: list[int], strides: Sequence[int], output_size: Any
) -> list[int]:
    if isinstance(output_size, str) or not isinstance(output_size, Sequence):
        kind = type(output_size).__name__
        raise TypeError(
            f"{op}: expected output_size to be made of ints, got {output_size!r} ({kind})"
        )
    wanted = list(output_size)[2:] if len(output_size) == rank + 2 else list(output_size)
    if len(wanted) != rank:
        raise ValueError(
            f"{op}: expected output_size of {rank} or {rank + 2} values, got {len(output_size)}: "
            f"{tuple(output_size)}"
        )
    wanted = [index(op, "output_size", n, TypeError) for n in wanted]
    for axis, (n, usual, step) in enumerate(zip(wanted, default, strides, strict=True)):
        if not usual - step < n < usual + step:
            raise ValueError(
                f"{op}: expected output_size from {usual - step + 1} to {usual + step - 1} on axis "
                f"{axis}, got {n}; stride = {step}"
            )
    return wanted
