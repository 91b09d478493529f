# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive max and average pooling as torch.autograd.Functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._adaptive import NO_LISTS, OutputSize, output_sizes

_OPS: Any = torch.ops.cnnkern


def _sizes(op: str, input: Tensor, output_size: OutputSize) -> list[int]:
    arguments.require_tensors(op, input=input)
    return list(output_sizes(op, input.dim() - 2, output_size, input.shape))


class AdaptiveMaxPool(torch.autograd.Function):
    """Takes maxima of as many windows as asked for, over 1 to 3 axes.

    ``AdaptiveMaxPool.apply(input, output_size)``, as cnnkern.functional.adaptive_max_pool2d, for
    float64, float32, float16 and bfloat16: ``(N, C, ...) -> (N, C, ...)``. The second result is the
    winner's number in its window, counted as in the largest one; one byte where that has at most
    256 taps: all that the gradient needs.

    Args:
        input: ``(N, C, ...)``.
        output_size: an int, or one per axis, where None keeps the input's size.

    Returns:
        The maxima, and the number of each window's winning tap (no gradient flows through it).

    Raises:
        TypeError, RuntimeError: as cnnkern.functional.adaptive_max_pool2d.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[3.0, 0, 1, 2, 7, 4]]], requires_grad=True)
        >>> y, taps = cnnkern.autograd.AdaptiveMaxPool.apply(x, 4)
        >>> taps
        tensor([[[0, 1, 1, 0]]], dtype=torch.uint8)
        >>> y.sum().backward()
        >>> x.grad
        tensor([[[1., 0., 1., 0., 2., 0.]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, output_size: OutputSize) -> tuple[Tensor, Tensor]:
        sizes = _sizes("AdaptiveMaxPool", input, output_size)
        pair: tuple[Tensor, Tensor] = _OPS.max_pool(input, *NO_LISTS, False, True, sizes)
        return pair

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        input, output_size = inputs
        ctx.sizes, ctx.input_size = _sizes("AdaptiveMaxPool", input, output_size), input.shape
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, _: Any) -> Any:
        (argmax,) = ctx.saved_tensors
        grad_input = _OPS.max_pool_grad(
            grad_output, argmax, ctx.input_size, *NO_LISTS, False, ctx.sizes
        )
        return grad_input, None


class AdaptiveAvgPool(torch.autograd.Function):
    """Takes averages of as many windows as asked for, over 1 to 3 axes.

    ``AdaptiveAvgPool.apply(input, output_size)``, as cnnkern.functional.adaptive_avg_pool2d, for
    float64, float32, float16 and bfloat16: ``(N, C, ...) -> (N, C, ...)``. It is linear: nothing
    but the input's size is kept.

    Args:
        input: ``(N, C, ...)``.
        output_size: an int, or one per axis, where None keeps the input's size.

    Returns:
        The averages.

    Raises:
        TypeError, RuntimeError: as cnnkern.functional.adaptive_avg_pool2d.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[3.0, 0, 1, 2, 7, 4]]], requires_grad=True)
        >>> cnnkern.autograd.AdaptiveAvgPool.apply(x, 4).sum().backward()
        >>> x.grad
        tensor([[[0.5000, 1.0000, 0.5000, 0.5000, 1.0000, 0.5000]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, output_size: OutputSize) -> Tensor:
        sizes = _sizes("AdaptiveAvgPool", input, output_size)
        y: Tensor = _OPS.avg_pool(input, *NO_LISTS[:3], False, True, 0, sizes)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, output_size = inputs
        ctx.sizes, ctx.input_size = _sizes("AdaptiveAvgPool", input, output_size), input.shape

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        grad_input = _OPS.avg_pool_grad(
            grad_output, ctx.input_size, *NO_LISTS[:3], False, True, 0, ctx.sizes
        )
        return grad_input, None
