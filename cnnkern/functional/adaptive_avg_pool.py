# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive average pooling over one, two or three axes, with torch.nn.functional's arguments."""

from __future__ import annotations

from torch import Tensor

from ._adaptive import OutputSize, adaptive_avg_pool


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Takes averages of as many windows as asked for: ``(N, C, L) -> (N, C, P)``.

    Window p of P holds the positions of L from ``floor(p * L / P)`` to
    ``ceil((p + 1) * L / P)``, that one not included.
    dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        output_size: P, an int, or a tuple of one.

    Returns:
        The averages, in the input's dtype and memory format. Gradients are deterministic.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.adaptive_avg_pool1d(torch.tensor([[3.0, 0, 1, 2, 7, 4]]), 4)
        tensor([[1.5000, 0.5000, 4.5000, 5.5000]])
    """
    return adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Takes averages of as many windows as asked for: ``(N, C, H, W) -> (N, C, P, Q)``.

    Window p of P holds the positions of H from ``floor(p * H / P)`` to
    ``ceil((p + 1) * H / P)``, that one not included, and so along each axis.
    dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        output_size: P, Q: an int for all axes, or a tuple with one per axis, where None keeps
            the input's size.

    Returns:
        The averages, in the input's dtype and memory format. Gradients are deterministic.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.adaptive_avg_pool2d(torch.arange(9.0).view(1, 1, 3, 3), (1, 2))
        tensor([[[[3.5000, 4.5000]]]])
    """
    return adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """Takes averages of as many windows as asked for: ``(N, C, D, H, W) -> (N, C, O, P, Q)``.

    Window p of O holds the positions of D from ``floor(p * D / O)`` to
    ``ceil((p + 1) * D / O)``, that one not included, and so along each axis.
    dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        output_size: O, P, Q: an int for all axes, or a tuple with one per axis, where None keeps
            the input's size.

    Returns:
        The averages, in the input's dtype and memory format. Gradients are deterministic.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.adaptive_avg_pool3d(torch.zeros(1, 8, 5, 6, 7), (None, 3, 1)).shape
        torch.Size([1, 8, 5, 3, 1])
    """
    return adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)
