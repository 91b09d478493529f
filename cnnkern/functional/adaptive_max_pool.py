# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive max pooling over one, two or three axes, with torch.nn.functional's arguments."""

from __future__ import annotations

from typing import Any, Literal, overload

from torch import Tensor

from ._adaptive import OutputSize, adaptive_max_pool


@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: Literal[False] = ...
) -> Tensor: ...


@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...


@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: bool = ...
) -> Any: ...


def adaptive_max_pool1d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """Takes maxima of as many windows as asked for: ``(N, C, L) -> (N, C, P)``.

    Window p of P holds the positions of L from ``floor(p * L / P)`` to
    ``ceil((p + 1) * L / P)``, that one not included.
    NaN wins, ties go to the first. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        output_size: P, an int, or a tuple of one.
        return_indices: whether to tell where the maxima stood.

    Returns:
        The maxima; with return_indices a pair of them and their int64 positions in the
        flattened ``(L)`` of each channel. Gradients are deterministic.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.adaptive_max_pool1d(torch.tensor([[3.0, 0, 1, 2, 7, 4]]), 4)
        tensor([[3., 1., 7., 7.]])
    """
    return adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Is :func:`adaptive_max_pool1d` with return_indices, whatever that says, as in torch."""
    pair: tuple[Tensor, Tensor] = adaptive_max_pool(
        "adaptive_max_pool1d", 1, input, output_size, True
    )
    return pair


@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: Literal[False] = ...
) -> Tensor: ...


@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...


@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = ...
) -> Any: ...


def adaptive_max_pool2d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """Takes maxima of as many windows as asked for: ``(N, C, H, W) -> (N, C, P, Q)``.

    Window p of P holds the positions of H from ``floor(p * H / P)`` to
    ``ceil((p + 1) * H / P)``, that one not included, and so along each axis.
    NaN wins, ties go to the first. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        output_size: P, Q: an int for all axes, or a tuple with one per axis, where None keeps
            the input's size.
        return_indices: whether to tell where the maxima stood.

    Returns:
        The maxima; with return_indices a pair of them and their int64 positions in the
        flattened ``(H, W)`` of each channel. Gradients are deterministic.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> y, at = cnnkern.functional.adaptive_max_pool2d(
        ...     torch.arange(9.0).view(1, 1, 3, 3), 2, return_indices=True
        ... )
        >>> y, at
        (tensor([[[[4., 5.],
                  [7., 8.]]]]), tensor([[[[4, 5],
                  [7, 8]]]]))
    """
    return adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Is :func:`adaptive_max_pool2d` with return_indices, whatever that says, as in torch."""
    pair: tuple[Tensor, Tensor] = adaptive_max_pool(
        "adaptive_max_pool2d", 2, input, output_size, True
    )
    return pair


@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: Literal[False] = ...
) -> Tensor: ...


@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...


@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: bool = ...
) -> Any: ...


def adaptive_max_pool3d(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Any:
    """Takes maxima of as many windows as asked for: ``(N, C, D, H, W) -> (N, C, O, P, Q)``.

    Window p of O holds the positions of D from ``floor(p * D / O)`` to
    ``ceil((p + 1) * D / O)``, that one not included, and so along each axis.
    NaN wins, ties go to the first. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        output_size: O, P, Q: an int for all axes, or a tuple with one per axis, where None keeps
            the input's size.
        return_indices: whether to tell where the maxima stood.

    Returns:
        The maxima; with return_indices a pair of them and their int64 positions in the
        flattened ``(D, H, W)`` of each channel. Gradients are deterministic.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        K. He, X. Zhang, S. Ren and J. Sun, Spatial pyramid pooling in deep convolutional networks
        for visual recognition, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.adaptive_max_pool3d(torch.zeros(1, 8, 5, 6, 7), (None, 3, 1)).shape
        torch.Size([1, 8, 5, 3, 1])
    """
    return adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Is :func:`adaptive_max_pool3d` with return_indices, whatever that says, as in torch."""
    pair: tuple[Tensor, Tensor] = adaptive_max_pool(
        "adaptive_max_pool3d", 3, input, output_size, True
    )
    return pair
