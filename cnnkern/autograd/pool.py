# SPDX-License-Identifier: BSD-3-Clause
"""Max and average pooling as torch.autograd.Functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._arguments import Ints, Padding
from ._shared import Geometry, completed, geometry_of

_OPS: Any = torch.ops.cnnkern
# Of the arguments of the two forwards, the first two of which have none.
_MAX_DEFAULTS = (None, None, None, 0, 1, False)
_AVG_DEFAULTS = (None, None, None, 0, False, True, None)


def _window(
    op: str, input: Tensor, kernel_size: Ints, stride: Ints | None, padding: Padding, dilation: Ints
) -> tuple[Sequence[int], Geometry]:
    arguments.require_tensors(op, input=input)
    kernel = arguments.one_per_axis(op, input.dim() - 2, "kernel_size", kernel_size)
    step = arguments.pool_stride(op, len(kernel), stride, kernel)
    return kernel, geometry_of(op, input.shape[2:], kernel, step, padding, dilation)


def _average_window(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> tuple[Any, ...]:
    # What the operator takes after the tensor.
    op = "AvgPool"
    kernel, geometry = _window(op, input, kernel_size, stride, padding, 1)
    arguments.flag(op, "ceil_mode", ceil_mode)
    counts = arguments.flag(op, "count_include_pad", count_include_pad)
    divisor = arguments.divisor(op, divisor_override)
    counts = counts and not isinstance(padding, str)
    return kernel, geometry.stride, geometry.padding, ceil_mode, counts, divisor


class MaxPool(torch.autograd.Function):
    """Takes maxima over 1 to 3 axes: ``(N, C, ...) -> (N, C, ...)``, and which tap won each.

    ``MaxPool.apply(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)``, as
    cnnkern.functional.max_pool2d, for float64, float32, float16 and bfloat16. The second result is
    the winner's number in its window, one byte where a window has at most 256 taps: all that the
    gradient needs.

    Args:
        input: ``(N, C, ...)``.
        kernel_size: an int, or one per axis.

    Returns:
        The maxima, and the number of each window's winning tap (no gradient flows through it).

    Raises:
        TypeError, RuntimeError: as cnnkern.functional.max_pool2d.

    Source:
        D. Scherer, A. Mueller and S. Behnke, Evaluation of pooling operations in convolutional
        architectures for object recognition, ICANN 2010.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[3.0, 0, 1, 2, 7, 4]]], requires_grad=True)
        >>> y, taps = cnnkern.autograd.MaxPool.apply(x, 2)
        >>> taps
        tensor([[[0, 1, 0]]], dtype=torch.uint8)
        >>> y.sum().backward()
        >>> x.grad
        tensor([[[1., 0., 0., 1., 1., 0.]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> tuple[Tensor, Tensor]:
        kernel, geometry = _window("MaxPool", input, kernel_size, stride, padding, dilation)
        arguments.flag("MaxPool", "ceil_mode", ceil_mode)
        pair: tuple[Tensor, Tensor] = _OPS.max_pool(input, kernel, *geometry, ceil_mode, True, ())
        return pair

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        input, kernel_size, stride, padding, dilation, ctx.ceil_mode = completed(
            inputs, _MAX_DEFAULTS
        )
        kernel, geometry = _window("MaxPool", input, kernel_size, stride, padding, dilation)
        ctx.kernel, ctx.geometry, ctx.input_size = kernel, geometry, input.shape
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, _: Any) -> Any:
        (argmax,) = ctx.saved_tensors
        grad_input = _OPS.max_pool_grad(
            grad_output, argmax, ctx.input_size, ctx.kernel, *ctx.geometry, ctx.ceil_mode, ()
        )
        return grad_input, *[None] * 5


class AvgPool(torch.autograd.Function):
    """Takes averages over 1 to 3 axes: ``(N, C, ...) -> (N, C, ...)``.

    ``AvgPool.apply(input, kernel_size, stride=None, padding=0, ceil_mode=False,
    count_include_pad=True, divisor_override=None)``, as cnnkern.functional.avg_pool2d, for float64,
    float32, float16 and bfloat16. It is linear: nothing but the input's size is kept.

    Args:
        input: ``(N, C, ...)``.
        kernel_size: an int, or one per axis.

    Returns:
        The averages.

    Raises:
        TypeError, RuntimeError: as cnnkern.functional.avg_pool2d.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86 (1998).

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[3.0, 0, 1, 2, 7, 4]]], requires_grad=True)
        >>> cnnkern.autograd.AvgPool.apply(x, 2).sum().backward()
        >>> x.grad
        tensor([[[0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        window = _average_window(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
        y: Tensor = _OPS.avg_pool(input, *window, ())
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.input_size, ctx.window = (
            inputs[0].shape,
            _average_window(*completed(inputs, _AVG_DEFAULTS)),
        )

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return _OPS.avg_pool_grad(grad_output, ctx.input_size, *ctx.window, ()), *[None] * 6
