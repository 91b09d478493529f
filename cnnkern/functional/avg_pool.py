# SPDX-License-Identifier: BSD-3-Clause
"""Average pooling over one, two or three axes, with torch.nn.functional's arguments."""

from __future__ import annotations

from torch import Tensor

from ._arguments import Ints, Padding
from ._call import avg_pool


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Takes the average of each window: ``(N, C, L) -> (N, C, P)``, or without N.

    ``P = (L + before + after - R) // stride + 1``; rounded up with ceil_mode, as long as the
    last window starts inside the input or the padding before it. dtypes: float64, float32, float16,
    bfloat16.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: zeros around the input, at most half of the window: an int, one per axis, a
            (before, after) pair per axis, "valid" (none) or "same" (``ceil(L / stride)``
            outputs, as Keras, which never counts the padding).
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether the divisor counts the taps in the padding.

    Returns:
        The averages, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit, or an unknown padding.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86 (1998).

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.avg_pool1d(torch.tensor([[3.0, 0, 1, 2, 7, 4]]), 2)
        tensor([[1.5000, 1.5000, 5.5000]])
    """
    return avg_pool(
        "avg_pool1d",
        1,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        None,
    )


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Takes the average of each window: ``(N, C, H, W) -> (N, C, P, Q)``, or without N.

    ``P = (H + before + after - R) // stride + 1``; rounded up with ceil_mode, as long as the
    last window starts inside the input or the padding before it. dtypes: float64, float32, float16,
    bfloat16.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: zeros around the input, at most half of the window: an int, one per axis, a
            (before, after) pair per axis, "valid" (none) or "same" (``ceil(H / stride)``
            outputs, as Keras, which never counts the padding).
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether the divisor counts the taps in the padding.
        divisor_override: what every sum is divided by, instead of the number of taps.

    Returns:
        The averages, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit, or an unknown padding.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86 (1998).

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]])
        >>> cnnkern.functional.avg_pool2d(x, 2)
        tensor([[[3.2500, 5.2500],
                 [2.0000, 2.0000]]])
    """
    return avg_pool(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Takes the average of each window: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or without N.

    ``O = (D + before + after - T) // stride + 1``; rounded up with ceil_mode, as long as the
    last window starts inside the input or the padding before it. dtypes: float64, float32, float16,
    bfloat16.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: zeros around the input, at most half of the window: an int, one per axis, a
            (before, after) pair per axis, "valid" (none) or "same" (``ceil(D / stride)``
            outputs, as Keras, which never counts the padding).
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether the divisor counts the taps in the padding.
        divisor_override: what every sum is divided by, instead of the number of taps.

    Returns:
        The averages, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: sizes or dtypes that do not fit, or an unknown padding.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
        recognition, Proceedings of the IEEE 86 (1998).

    Example:
        >>> import torch, cnnkern
        >>> cube = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
        >>> cnnkern.functional.avg_pool3d(cube, 2, stride=1).flatten()
        tensor([ 6.5000,  7.5000,  9.5000, 10.5000, 15.5000, 16.5000, 18.5000, 19.5000])
    """
    return avg_pool(
        "avg_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
