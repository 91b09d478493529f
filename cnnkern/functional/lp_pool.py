# SPDX-License-Identifier: BSD-3-Clause
"""Power-average pooling over one, two or three axes, with torch.nn.functional's arguments."""

from __future__ import annotations

from torch import Tensor

from ._arguments import Ints
from ._lp_pool import lp_pool


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Takes the norm of each window: ``(N, C, L) -> (N, C, P)``, or without N.

    ``y = (sum of x ** p) ** (1 / p)`` with ``p = norm_type``; ``P = (L - R) // stride + 1``,
    rounded up with ceil_mode, where a window that reaches beyond the input counts as one that is
    full of its average. As in torch x ** p keeps its sign, so odd norms of mixed signs may be NaN;
    where a sum is 0 the gradient is 0. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        norm_type: p, any number but 0; of infinity the result is the largest magnitude, of minus
            infinity the smallest.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        ceil_mode: whether sizes are rounded up.

    Returns:
        The norms, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        ZeroDivisionError: a norm_type of 0.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        P. Sermanet, S. Chintala and Y. LeCun, Convolutional neural networks applied to house
        numbers digit classification, ICPR 2012.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.lp_pool1d(torch.tensor([[3.0, 4, 0, 0, 5, 12]]), 2, 2)
        tensor([[ 5.,  0., 13.]])
    """
    return lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Takes the norm of each window: ``(N, C, H, W) -> (N, C, P, Q)``, or without N.

    ``y = (sum of x ** p) ** (1 / p)`` with ``p = norm_type``; ``P = (H - R) // stride + 1``,
    rounded up with ceil_mode, where a window that reaches beyond the input counts as one that is
    full of its average. As in torch x ** p keeps its sign, so odd norms of mixed signs may be NaN;
    where a sum is 0 the gradient is 0. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        norm_type: p, any number but 0; of infinity the result is the largest magnitude, of minus
            infinity the smallest.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        ceil_mode: whether sizes are rounded up.

    Returns:
        The norms, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        ZeroDivisionError: a norm_type of 0.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        P. Sermanet, S. Chintala and Y. LeCun, Convolutional neural networks applied to house
        numbers digit classification, ICPR 2012.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]])
        >>> cnnkern.functional.lp_pool2d(x, 2, 2).square()
        tensor([[[ 63.0000, 133.0000],
                 [ 18.0000,  26.0000]]])
    """
    return lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Takes the norm of each window: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or without N.

    ``y = (sum of x ** p) ** (1 / p)`` with ``p = norm_type``; ``O = (D - T) // stride + 1``,
    rounded up with ceil_mode, where a window that reaches beyond the input counts as one that is
    full of its average. As in torch x ** p keeps its sign, so odd norms of mixed signs may be NaN;
    where a sum is 0 the gradient is 0. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        norm_type: p, any number but 0; of infinity the result is the largest magnitude, of minus
            infinity the smallest.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        ceil_mode: whether sizes are rounded up.

    Returns:
        The norms, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        ZeroDivisionError: a norm_type of 0.
        RuntimeError: sizes or dtypes that do not fit.

    Source:
        P. Sermanet, S. Chintala and Y. LeCun, Convolutional neural networks applied to house
        numbers digit classification, ICPR 2012.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.functional.lp_pool3d(torch.ones(1, 4, 4, 4), 3, 2).flatten()
        tensor([2., 2., 2., 2., 2., 2., 2., 2.])
    """
    return lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)
