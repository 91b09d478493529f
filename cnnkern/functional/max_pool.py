# SPDX-License-Identifier: BSD-3-Clause
"""Max pooling over one, two or three axes, with torch.nn.functional's arguments."""

from __future__ import annotations

from typing import Any, Literal, overload

from torch import Tensor

from ._arguments import Ints, Padding
from ._call import max_pool


@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...


@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...


@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Any: ...


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes the maximum of each window: ``(N, C, L) -> (N, C, P)``, or without N.

    ``P = (L + before + after - dilation * (R - 1) - 1) // stride + 1``; rounded up with
    ceil_mode, as long as the last window starts inside the input or the padding before it. NaN
    wins, ties go to the first. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: minus infinity around the input, at most half of the window: an int, one per axis,
            a (before, after) pair per axis, "valid" (none) or "same" (``ceil(L / stride)``
            outputs, as Keras).
        dilation: the step between taps, an int or one per axis.
        ceil_mode: whether sizes are rounded up.
        return_indices: whether to tell where the maxima stood.

    Returns:
        The maxima; with return_indices a pair of them and their int64 positions in the
        flattened ``(L)`` of each channel, as torch's max_unpool1d takes them.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit, or an unknown padding.

    Source:
        D. Scherer, A. Mueller and S. Behnke, Evaluation of pooling operations in convolutional
        architectures for object recognition, ICANN 2010.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.max_pool1d(torch.tensor([[3.0, 0, 1, 2, 7, 4]]), 2)
        tensor([[3., 2., 7.]])
    """
    return max_pool(
        "max_pool1d",
        1,
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        return_indices,
    )


@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...


@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...


@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Any: ...


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes the maximum of each window: ``(N, C, H, W) -> (N, C, P, Q)``, or without N.

    ``P = (H + before + after - dilation * (R - 1) - 1) // stride + 1``; rounded up with
    ceil_mode, as long as the last window starts inside the input or the padding before it. NaN
    wins, ties go to the first. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: minus infinity around the input, at most half of the window: an int, one per axis,
            a (before, after) pair per axis, "valid" (none) or "same" (``ceil(H / stride)``
            outputs, as Keras).
        dilation: the step between taps, an int or one per axis.
        ceil_mode: whether sizes are rounded up.
        return_indices: whether to tell where the maxima stood.

    Returns:
        The maxima; with return_indices a pair of them and their int64 positions in the
        flattened ``(H, W)`` of each channel, as torch's max_unpool2d takes them.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit, or an unknown padding.

    Source:
        D. Scherer, A. Mueller and S. Behnke, Evaluation of pooling operations in convolutional
        architectures for object recognition, ICANN 2010.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]])
        >>> values, indices = cnnkern.functional.max_pool2d(x, 2, return_indices=True)
        >>> values
        tensor([[[6., 8.],
                 [3., 4.]]])
        >>> indices
        tensor([[[ 5,  7],
                 [ 8, 15]]])
    """
    return max_pool(
        "max_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        return_indices,
    )


@overload
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...


@overload
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...


@overload
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = ...,
    padding: Padding = ...,
    dilation: Ints = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Any: ...


def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes the maximum of each window: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or without N.

    ``O = (D + before + after - dilation * (T - 1) - 1) // stride + 1``; rounded up with
    ceil_mode, as long as the last window starts inside the input or the padding before it. NaN
    wins, ties go to the first. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: minus infinity around the input, at most half of the window: an int, one per axis,
            a (before, after) pair per axis, "valid" (none) or "same" (``ceil(D / stride)``
            outputs, as Keras).
        dilation: the step between taps, an int or one per axis.
        ceil_mode: whether sizes are rounded up.
        return_indices: whether to tell where the maxima stood.

    Returns:
        The maxima; with return_indices a pair of them and their int64 positions in the
        flattened ``(D, H, W)`` of each channel, as torch's max_unpool3d takes them.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit, or an unknown padding.

    Source:
        D. Scherer, A. Mueller and S. Behnke, Evaluation of pooling operations in convolutional
        architectures for object recognition, ICANN 2010.

    Example:
        >>> import torch, cnnkern
        >>> cube = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
        >>> cnnkern.functional.max_pool3d(cube, 2, stride=1).flatten()
        tensor([13., 14., 16., 17., 22., 23., 25., 26.])
    """
    return max_pool(
        "max_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        return_indices,
    )
