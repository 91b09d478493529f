# SPDX-License-Identifier: BSD-3-Clause
"""Convolution as a torch.autograd.Function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._arguments import Ints, Padding
from ..functional._in_use import algorithm_in_use
from ._shared import bias_gradient, completed, geometry_of, through_relu

_OPS: Any = torch.ops.cnnkern
# Of the arguments of Conv.forward, the first two of which have none.
_DEFAULTS = (None, None, None, 1, 0, 1, 1, None, "auto")


class Conv(torch.autograd.Function):
    """Convolves over 1 to 3 axes: ``(N, C, ...) -> (N, K, ...)``.

    ``Conv.apply(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1,
    activation=None, algorithm="auto")``, as cnnkern.functional.conv2d, for float64, float32,
    float16 and bfloat16. Its gradients are two more convolutions, each with respect to one side of
    a bilinear form.

    Args:
        input: ``(N, C, ...)``.
        weight: ``(K, C / groups, ...)``.
        bias: ``(K,)`` or None.

    Returns:
        ``(N, K, ...)``.

    Raises:
        TypeError, RuntimeError, ValueError: as cnnkern.functional.conv2d.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, w = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2, requires_grad=True)
        >>> cnnkern.autograd.Conv.apply(x, w).sum().backward()
        >>> w.grad
        tensor([[[[4., 4.],
                  [4., 4.]]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> Tensor:
        geometry = geometry_of("Conv", input.shape[2:], weight.shape[2:], stride, padding, dilation)
        relu = arguments.is_relu("Conv", activation)
        if arguments.known_algorithm("Conv", algorithm) == "auto":
            algorithm = algorithm_in_use(False, input, weight, stride, padding, dilation, groups)
        y: Tensor = _OPS.conv(input, weight, bias, *geometry, groups, relu, algorithm)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, weight, _, stride, padding, dilation, ctx.groups, activation, ctx.algorithm = (
            completed(inputs, _DEFAULTS)
        )
        ctx.geometry = geometry_of(
            "Conv", input.shape[2:], weight.shape[2:], stride, padding, dilation
        )
        if ctx.algorithm == "auto":
            ctx.algorithm = algorithm_in_use(
                False, input, weight, stride, padding, dilation, ctx.groups
            )
        ctx.input_size, ctx.weight_size = input.shape, weight.shape
        needs_input, needs_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(
            input if needs_weight else None,
            weight if needs_input else None,
            output if activation else None,
        )

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        input, weight, output = ctx.saved_tensors
        grad_output = through_relu(grad_output, output)
        rest = (*ctx.geometry, ctx.groups)
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = _OPS.conv_input_grad(
                grad_output, weight, None, ctx.input_size, *rest, False, ctx.algorithm
            )
        if ctx.needs_input_grad[1]:
            grad_weight, grad_bias = _OPS.conv_weight_grad(
                grad_output,
                input,
                ctx.weight_size,
                *rest,
                ctx.needs_input_grad[2],
                ctx.algorithm,
            )
        elif ctx.needs_input_grad[2]:
            grad_bias = bias_gradient(grad_output)
        if not ctx.needs_input_grad[2]:
            grad_bias = None
        return grad_input, grad_weight, grad_bias, None, None, None, None, None, None
