# SPDX-License-Identifier: BSD-3-Clause
"""Max unpooling as a torch.autograd.Function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._arguments import Ints
from ..functional._unpool import unpooled_size

_OPS: Any = torch.ops.cnnkern


class MaxUnpool(torch.autograd.Function):
    """Puts values where their indices say, over 1 to 3 axes: ``(N, C, ...) -> (N, C, ...)``.

    ``MaxUnpool.apply(input, indices, kernel_size, stride=None, padding=0, output_size=None)``, as
    cnnkern.functional.max_unpool2d, for float64, float32, float16 and bfloat16. Its gradient is
    what stands at each index, also where several values share one.

    Args:
        input: ``(N, C, ...)``.
        indices: int64, of the same shape.
        kernel_size: an int, or one per axis.

    Returns:
        The values among zeros.

    Raises:
        TypeError, ValueError, RuntimeError: as cnnkern.functional.max_unpool2d.

    Source:
        M. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[3.0, 7]]], requires_grad=True)
        >>> y = cnnkern.autograd.MaxUnpool.apply(x, torch.tensor([[[0, 3]]]), 2)
        >>> y
        tensor([[[3., 0., 0., 7.]]], grad_fn=<MaxUnpoolBackward>)
        >>> (y * torch.arange(4)).sum().backward()
        >>> x.grad
        tensor([[[0., 3.]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        indices: Tensor,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        op = "MaxUnpool"
        arguments.require_tensors(op, input=input, indices=indices)
        size = unpooled_size(
            op, input.dim() - 2, input.shape[2:], kernel_size, stride, padding, output_size
        )
        y: Tensor = _OPS.max_unpool(input, indices, size)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (indices,) = ctx.saved_tensors
        return _OPS.max_unpool_grad(grad_output, indices), *[None] * 5
