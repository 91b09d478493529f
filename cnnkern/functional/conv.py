# SPDX-License-Identifier: BSD-3-Clause
"""Convolution over one, two or three axes, with torch.nn.functional's arguments.

As everywhere in deep learning, "convolution" is cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

from torch import Tensor

from ._arguments import Ints, Padding
from ._call import conv


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Tensor | None = None,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """Convolves sequences: ``(N, C, L) -> (N, K, P)``, or ``(C, L) -> (K, P)``.

    ``P = (L + before + after - dilation * (R - 1) - 1) // stride + 1``. All tensors share one dtype
    (float64, float32, float16 or bfloat16; 16-bit types accumulate in float32) and one device.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        weight: ``(K, C / groups, R)``.
        bias: ``(K,)`` or None.
        stride: the step of the window, an int or one in a sequence.
        padding: how wide its border is: an int, ``((before, after),)``, "valid" (none) or "same"
            (``ceil(L / stride)`` outputs, as Keras; the odd one after).
        dilation: the step between taps.
        groups: into how many parts the channels are split, each convolved by itself.
        padding_mode: what stands around the input: "zeros", or its own elements: "reflect"
            (mirrored, without the edge itself), "replicate" (the edge repeated), "circular" (from
            the other side). No padded copy of the batch is made or kept.
        residual: what is added to the result, before the activation; None for nothing. With the
            result's shape, dtype and device it is part of the operator, and what lies between is
            never there as a whole; anything else is added behind it, as ``+`` would.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit, or an unknown padding.
        ValueError: an unknown padding_mode, activation or algorithm.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[3.0, 0, 1, 2, 7, 4]]])
        >>> cnnkern.functional.conv1d(x, torch.tensor([[[1.0, 0, -1]]]))
        tensor([[[ 2., -2., -6., -2.]]])
    """
    return conv(
        "conv1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation,
        algorithm,
        padding_mode,
        residual,
    )


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Tensor | None = None,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """Convolves images: ``(N, C, H, W) -> (N, K, P, Q)``, or ``(C, H, W) -> (K, P, Q)``.

    ``P = (H + before + after - dilation * (R - 1) - 1) // stride + 1``, and Q from W and S alike.
    All tensors share one dtype (float64, float32, float16 or bfloat16; 16-bit types accumulate in
    float32) and one device.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        weight: ``(K, C / groups, R, S)``.
        bias: ``(K,)`` or None.
        stride: the step of the window, an int or one per axis.
        padding: how wide its border is: an int, one per axis, a (before, after) pair per axis
            ``((top, bottom), (left, right))``, "valid" (none) or "same" (``ceil(H / stride)``
            outputs, as Keras; the odd one below and right).
        dilation: the step between taps, an int or one per axis.
        groups: into how many parts the channels are split, each convolved by itself.
        padding_mode: what stands around the input: "zeros", or its own elements: "reflect"
            (mirrored, without the edge itself), "replicate" (the edge repeated), "circular" (from
            the other side). No padded copy of the batch is made or kept.
        residual: what is added to the result, before the activation; None for nothing. With the
            result's shape, dtype and device it is part of the operator, and what lies between is
            never there as a whole; anything else is added behind it, as ``+`` would.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit, or an unknown padding.
        ValueError: an unknown padding_mode, activation or algorithm.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285.

    Example:
        >>> import torch, cnnkern
        >>> step = torch.tensor([10.0, 10, 10, 0, 0, 0]).repeat(1, 1, 4, 1)
        >>> edge = torch.tensor([1.0, 0, -1]).repeat(1, 1, 3, 1)
        >>> cnnkern.functional.conv2d(step, edge)
        tensor([[[[ 0., 30., 30.,  0.],
                  [ 0., 30., 30.,  0.]]]])
        >>> cnnkern.functional.conv2d(step, edge, stride=2, padding="same").shape
        torch.Size([1, 1, 2, 3])
    """
    return conv(
        "conv2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation,
        algorithm,
        padding_mode,
        residual,
    )


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    residual: Tensor | None = None,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """Convolves volumes: ``(N, C, D, H, W) -> (N, K, O, P, Q)``, or the same without N.

    ``O = (D + before + after - dilation * (T - 1) - 1) // stride + 1``, and P, Q from H, W alike.
    All tensors share one dtype (float64, float32, float16 or bfloat16; 16-bit types accumulate in
    float32) and one device.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        weight: ``(K, C / groups, T, R, S)``.
        bias: ``(K,)`` or None.
        stride: the step of the window, an int or one per axis.
        padding: how wide its border is: an int, one per axis, a (before, after) pair per axis,
            "valid" (none) or "same" (``ceil(D / stride)`` outputs, as Keras; the odd one after).
        dilation: the step between taps, an int or one per axis.
        groups: into how many parts the channels are split, each convolved by itself.
        padding_mode: what stands around the input: "zeros", or its own elements: "reflect"
            (mirrored, without the edge itself), "replicate" (the edge repeated), "circular" (from
            the other side). No padded copy of the batch is made or kept.
        residual: what is added to the result, before the activation; None for nothing. With the
            result's shape, dtype and device it is part of the operator, and what lies between is
            never there as a whole; anything else is added behind it, as ``+`` would.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit, or an unknown padding.
        ValueError: an unknown padding_mode, activation or algorithm.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
        arXiv:1603.07285.

    Example:
        >>> import torch, cnnkern
        >>> cube = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
        >>> cnnkern.functional.conv3d(cube, torch.ones(1, 1, 2, 2, 2)).flatten()
        tensor([ 52.,  60.,  76.,  84., 124., 132., 148., 156.])
    """
    return conv(
        "conv3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation,
        algorithm,
        padding_mode,
        residual,
    )
