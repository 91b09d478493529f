# SPDX-License-Identifier: BSD-3-Clause
"""Max unpooling over one, two or three axes, with torch.nn.functional's arguments."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._arguments import Ints
from ._unpool import max_unpool


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints | Sequence[tuple[int, int]] = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where they stood: ``(N, C, L) -> (N, C, P)``, or without N.

    ``P = (L - 1) * stride - before - after + R``, unless output_size says otherwise.
    What no index names is 0; of several values
    with one index the last stays, on every device, and each of them gets the gradient there, as in
    torch. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, L)`` or ``(C, L)``, with any strides.
        indices: int64, of the input's shape: positions in the flattened ``(P)`` of each
            channel, as max_pool1d gives them, here and in torch.
        kernel_size: the window of the pool, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: its padding, an int, one per axis, or a (before, after) pair per axis.
        output_size: the result's sizes, with or without ``(N, C)``, each less than one stride from
            the default: pools of several sizes have the same outputs.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: an output_size too far off, or a negative one.
        RuntimeError: shapes, dtypes or devices that do not fit, or an index that names no element
            of the output (on CUDA, where nothing waits for the device, it writes nothing instead).

    Source:
        M. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[3.0, 0, 1, 2, 7, 4]])
        >>> values, indices = cnnkern.functional.max_pool1d(x, 2, return_indices=True)
        >>> cnnkern.functional.max_unpool1d(values, indices, 2)
        tensor([[3., 0., 0., 2., 7., 0.]])
    """
    return max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints | Sequence[tuple[int, int]] = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where they stood: ``(N, C, H, W) -> (N, C, P, Q)``, or without N.

    ``P = (H - 1) * stride - before - after + R``, and Q from W alike, unless output_size
    says otherwise. What no index names is 0; of several values
    with one index the last stays, on every device, and each of them gets the gradient there, as in
    torch. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        indices: int64, of the input's shape: positions in the flattened ``(P, Q)`` of each
            channel, as max_pool2d gives them, here and in torch.
        kernel_size: the window of the pool, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: its padding, an int, one per axis, or a (before, after) pair per axis.
        output_size: the result's sizes, with or without ``(N, C)``, each less than one stride from
            the default: pools of several sizes have the same outputs.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: an output_size too far off, or a negative one.
        RuntimeError: shapes, dtypes or devices that do not fit, or an index that names no element
            of the output (on CUDA, where nothing waits for the device, it writes nothing instead).

    Source:
        M. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]])
        >>> values, indices = cnnkern.functional.max_pool2d(x, 2, return_indices=True)
        >>> cnnkern.functional.max_unpool2d(values, indices, 2)
        tensor([[[0., 0., 0., 0.],
                 [0., 6., 0., 8.],
                 [3., 0., 0., 0.],
                 [0., 0., 0., 4.]]])
    """
    return max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints | Sequence[tuple[int, int]] = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where they stood: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or without N.

    ``O = (D - 1) * stride - before - after + T``, and P, Q from H, W alike, unless
    output_size says otherwise. What no index names is 0; of several values
    with one index the last stays, on every device, and each of them gets the gradient there, as in
    torch. dtypes: float64, float32, float16, bfloat16.

    Args:
        input: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, with any strides.
        indices: int64, of the input's shape: positions in the flattened ``(O, P, Q)`` of each
            channel, as max_pool3d gives them, here and in torch.
        kernel_size: the window of the pool, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: its padding, an int, one per axis, or a (before, after) pair per axis.
        output_size: the result's sizes, with or without ``(N, C)``, each less than one stride from
            the default: pools of several sizes have the same outputs.

    Returns:
        The result, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: an output_size too far off, or a negative one.
        RuntimeError: shapes, dtypes or devices that do not fit, or an index that names no element
            of the output (on CUDA, where nothing waits for the device, it writes nothing instead).

    Source:
        M. Zeiler and R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.

    Example:
        >>> import torch, cnnkern
        >>> cube = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
        >>> values, indices = cnnkern.functional.max_pool3d(cube, 2, return_indices=True)
        >>> y = cnnkern.functional.max_unpool3d(values, indices, 2, output_size=cube.shape)
        >>> y.nonzero().tolist(), y.max()
        ([[0, 0, 1, 1, 1]], tensor(13.))
    """
    return max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
