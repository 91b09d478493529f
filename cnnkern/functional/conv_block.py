# SPDX-License-Identifier: BSD-3-Clause
"""Convolution, bias, ReLU and max pooling as one operator."""

from __future__ import annotations

from torch import Tensor

from ._arguments import Ints, Padding
from ._call import conv_block


def conv_block2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    pool_size: Ints,
    pool_stride: Ints | None = None,
    pool_padding: Padding = 0,
    pool_dilation: Ints = 1,
    ceil_mode: bool = False,
    activation: str | None = "relu",
    algorithm: str = "auto",
) -> Tensor:
    """Convolves images and takes the maximum of each window: ``(N, C, H, W) -> (N, K, P, Q)``.

    The same numbers as ``max_pool2d(conv2d(...))``, but what lies between is never there as a
    whole: forward and backward go over a few images at a time (as many as 4 MiB of it hold on a
    CPU, 32 MiB on a GPU, at least one), and autograd keeps input, weight, result and one byte an
    output. On a GPU's tensor cores both are one kernel where nobody asks for a gradient and a tile
    covers the pool's windows; then nothing lies between. A gradient that is itself differentiated
    (double backward, torch.func) is built from the single operators, and does hold it.

    Args:
        input: ``(N, C, H, W)`` or ``(C, H, W)``, with any strides.
        weight: ``(K, C / groups, R, S)``.
        bias: ``(K,)`` or None.
        stride: the step of the convolution's window, an int or one per axis.
        padding: zeros around the input, in every form that conv2d takes.
        dilation: the step between taps, an int or one per axis.
        groups: into how many parts the channels are split, each convolved by itself.
        pool_size: the pool's window, an int or one per axis.
        pool_stride: its step, an int or one per axis; the window's size if None.
        pool_padding: minus infinity around the convolution's result, in every form that max_pool2d
            takes.
        pool_dilation: the step between elements of the pool's window, an int or one per axis.
        ceil_mode: whether the pool's sizes are rounded up.
        activation: "relu", or None.
        algorithm: of the convolution: "auto", or the name of the one that must serve.

    Returns:
        The result, in the input's dtype (float64, float32, float16 or bfloat16) and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit, or an unknown padding.
        ValueError: an unknown activation or algorithm.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document
        recognition, 1998: convolution and subsampling as one stage.

    Example:
        >>> import torch, cnnkern
        >>> x, w = torch.rand(8, 3, 227, 227), torch.rand(96, 3, 11, 11)
        >>> y = cnnkern.functional.conv_block2d(x, w, stride=4, pool_size=3, pool_stride=2)
        >>> y.shape
        torch.Size([8, 96, 27, 27])
    """
    return conv_block(
        "conv_block2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        pool_size,
        pool_stride,
        pool_padding,
        pool_dilation,
        ceil_mode,
        activation,
        algorithm,
    )
