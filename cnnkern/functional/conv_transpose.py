# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution over one, two or three axes, with torch.nn.functional's arguments.

It is the gradient of a convolution with respect to its input, and runs as exactly that.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._arguments import Ints
from ._transposed import conv_transpose


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | Sequence[tuple[int, int]] = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
    *,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """Spreads sequences: ``(N, C, L) -> (N, K, P)``, or ``(C, L) -> (K, P)``.

    ``P = (L - 1) * stride - before - after + dilation * (R - 1) + output_padding + 1``.
    All tensors share one dtype (float64, float32, float16 or bfloat16; 16-bit types accumulate in
    float32) and one device.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        weight: ``(C, K / groups, R)``.
        bias: ``(K,)`` or None.
        stride: how far apart input elements land, an int or one per axis.
        padding: how much is cut off: an int, one per axis, or a (before, after) pair per axis.
        output_padding: how much is added after, less than stride or dilation.
        groups: into how many parts the channels are split, each convolved by itself.
        dilation: the step between taps, an int or one per axis.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown activation or algorithm.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, w = torch.tensor([[[1.0, 2]]]), torch.tensor([[[1.0, 10]]])
        >>> cnnkern.functional.conv_transpose1d(x, w, stride=2)
        tensor([[[ 1., 10.,  2., 20.]]])
    """
    return conv_transpose(
        "conv_transpose1d",
        1,
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


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | Sequence[tuple[int, int]] = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
    *,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """Spreads images: ``(N, C, H, W) -> (N, K, P, Q)``, or without N.

    ``P = (H - 1) * stride - before - after + dilation * (R - 1) + output_padding + 1``,
    and Q from W and S alike.
    All tensors share one dtype (float64, float32, float16 or bfloat16; 16-bit types accumulate in
    float32) and one device.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        weight: ``(C, K / groups, R, S)``.
        bias: ``(K,)`` or None.
        stride: how far apart input elements land, an int or one per axis.
        padding: how much is cut off: an int, one per axis, or a (before, after) pair per axis.
        output_padding: how much is added after, less than stride or dilation.
        groups: into how many parts the channels are split, each convolved by itself.
        dilation: the step between taps, an int or one per axis.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown activation or algorithm.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, w = torch.tensor([[[[1.0, 2]]]]), torch.ones(1, 1, 2, 2)
        >>> cnnkern.functional.conv_transpose2d(x, w, stride=2)
        tensor([[[[1., 1., 2., 2.],
                  [1., 1., 2., 2.]]]])
    """
    return conv_transpose(
        "conv_transpose2d",
        2,
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


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | Sequence[tuple[int, int]] = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
    *,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """Spreads volumes: ``(N, C, D, H, W) -> (N, K, O, P, Q)``, or without N.

    ``O = (D - 1) * stride - before - after + dilation * (T - 1) + output_padding + 1``,
    and P, Q from H, W alike.
    All tensors share one dtype (float64, float32, float16 or bfloat16; 16-bit types accumulate in
    float32) and one device.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        weight: ``(C, K / groups, T, R, S)``.
        bias: ``(K,)`` or None.
        stride: how far apart input elements land, an int or one per axis.
        padding: how much is cut off: an int, one per axis, or a (before, after) pair per axis.
        output_padding: how much is added after, less than stride or dilation.
        groups: into how many parts the channels are split, each convolved by itself.
        dilation: the step between taps, an int or one per axis.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown activation or algorithm.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, w = torch.ones(1, 2, 4, 4, 4), torch.ones(2, 3, 2, 2, 2)
        >>> cnnkern.functional.conv_transpose3d(x, w, stride=2).shape
        torch.Size([1, 3, 8, 8, 8])
    """
    return conv_transpose(
        "conv_transpose3d",
        3,
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
