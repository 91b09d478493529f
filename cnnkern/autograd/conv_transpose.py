# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution as a torch.autograd.Function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._arguments import Ints
from ..functional._in_use import algorithm_in_use
from ..functional._transposed import absorb_output_padding, conv_transpose
from ._shared import bias_gradient, completed, geometry_of, through_relu

_OPS: Any = torch.ops.cnnkern
# Of the arguments of ConvTranspose.forward, the first two of which have none.
_DEFAULTS = (None, None, None, 1, 0, 0, 1, 1, None, "auto")


class ConvTranspose(torch.autograd.Function):
    """Convolves transposed over 1 to 3 axes: ``(N, C, ...) -> (N, K, ...)``.

    ``ConvTranspose.apply(input, weight, bias=None, stride=1, padding=0, output_padding=0,
    groups=1, dilation=1, activation=None, algorithm="auto")``, as
    cnnkern.functional.conv_transpose2d, for float64, float32, float16 and bfloat16. It runs as the
    input gradient of a convolution, so its own input gradient is that convolution.

    Args:
        input: ``(N, C, ...)``.
        weight: ``(C, K / groups, ...)``.
        bias: ``(K,)`` or None.

    Returns:
        ``(N, K, ...)``.

    Raises:
        TypeError, RuntimeError, ValueError: as cnnkern.functional.conv_transpose2d.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, w = torch.ones(1, 1, 2), torch.tensor([[[1.0, 10]]], requires_grad=True)
        >>> y = cnnkern.autograd.ConvTranspose.apply(x, w, None, 2)
        >>> y
        tensor([[[ 1., 10.,  1., 10.]]], grad_fn=<ConvTransposeBackward>)
        >>> y.sum().backward()
        >>> w.grad
        tensor([[[2., 2.]]])
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> Tensor:
        arguments.conv_tensors("ConvTranspose", input, weight, bias)
        if input.dim() != weight.dim():
            raise RuntimeError(
                f"ConvTranspose: expected input of {weight.dim()} axes like weight, got "
                f"{tuple(input.shape)}; weight {tuple(weight.shape)}"
            )
        return conv_transpose(
            "ConvTranspose",
            weight.dim() - 2,
            input,
            weight,
            bias,
            stride,
            padding,
            output_padding,
            groups,
            dilation,
            activation,
            algorithm,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, weight, _, stride, padding, extra, ctx.groups, dilation, activation, name = (
            completed(inputs, _DEFAULTS)
        )
        op, rank = "ConvTranspose", weight.dim() - 2
        if name == "auto":
            name = algorithm_in_use(
                True, input, weight, stride, padding, dilation, ctx.groups, extra
            )
        geometry = geometry_of(op, (), weight.shape[2:], stride, padding, dilation)
        extra = arguments.one_per_axis(op, rank, "output_padding", extra)
        pads, _, ctx.beyond = absorb_output_padding(geometry.stride, geometry.padding, extra)
        ctx.geometry, ctx.algorithm = geometry._replace(padding=pads), name
        ctx.weight_size = weight.shape
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
        if ctx.needs_input_grad[2]:
            grad_bias = bias_gradient(grad_output)
        for axis, beyond in enumerate(ctx.beyond, start=2):
            grad_output = grad_output.narrow(axis, 0, grad_output.shape[axis] - beyond)
        if ctx.needs_input_grad[0]:
            grad_input = _OPS.conv(grad_output, weight, None, *rest, False, ctx.algorithm)
        if ctx.needs_input_grad[1]:
            grad_weight, _ = _OPS.conv_weight_grad(
                input, grad_output, ctx.weight_size, *rest, False, ctx.algorithm
            )
        return grad_input, grad_weight, grad_bias, *[None] * 7
