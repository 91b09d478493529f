# SPDX-License-Identifier: BSD-3-Clause
"""What the Functions share: arguments as the operators take them, and two small gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._arguments import Ints, Padding


class Geometry(NamedTuple):
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]


def geometry_of(
    op: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Geometry:
    rank = len(kernel)
    strides = arguments.one_per_axis(op, rank, "stride", stride)
    dilations = arguments.one_per_axis(op, rank, "dilation", dilation)
    if isinstance(padding, str):
        pads = arguments.named_padding(op, padding, sizes, kernel, strides, dilations)
    else:
        pads = arguments.before_and_after(op, rank, "padding", padding)
    return Geometry(strides, pads, dilations)


def completed(inputs: tuple[Any, ...], defaults: tuple[Any, ...]) -> tuple[Any, ...]:
    """Adds the defaults of the arguments that are not there.

    torch binds them before it calls setup_context; torch.compile does not.
    """
    missing = len(inputs) - len(defaults)
    return inputs if missing >= 0 else inputs + defaults[missing:]


def bias_gradient(grad: Tensor) -> Tensor:
    return grad.sum([axis for axis in range(grad.dim()) if axis != 1])


def through_relu(grad: Tensor, output: Tensor | None) -> Tensor:
    # The result tells where the ReLU let through, so that its argument need not be kept.
    return grad if output is None else grad.masked_fill(output <= 0, 0)
