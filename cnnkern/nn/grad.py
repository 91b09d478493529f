# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of convolutions as functions, with the arguments of torch.nn.grad.

Each is an operator of its own, differentiable to any order and traced as one node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..functional import _arguments as arguments
from ..functional._arguments import Ints, Padding

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]

_INPUT: Any = torch.ops.cnnkern.conv_input_grad.default
_WEIGHT: Any = torch.ops.cnnkern.conv_weight_grad.default


def _size(op: str, rank: int, name: str, size: Sequence[int]) -> list[int]:
    if isinstance(size, (str, int)) or not isinstance(size, Sequence):
        raise TypeError(f"{op}: expected {name} to be made of ints, got {size!r}")
    if len(size) != rank + 2:
        raise RuntimeError(f"{op}: expected {name} of {rank + 2} values, got {tuple(size)}")
    return [arguments.index(op, name, n, TypeError) for n in size]


def _geometry(
    op: str,
    rank: int,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> tuple[Any, ...]:
    # What both operators take between the sizes and their flag.
    strides = arguments.one_per_axis(op, rank, "stride", stride)
    dilations = arguments.one_per_axis(op, rank, "dilation", dilation)
    pads = (
        arguments.named_padding(op, padding, sizes, kernel, strides, dilations)
        if isinstance(padding, str)
        else arguments.before_and_after(op, rank, "padding", padding)
    )
    return strides, pads, dilations, arguments.index(op, "groups", groups)


def _input(
    op: str,
    rank: int,
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    algorithm: str,
) -> Tensor:
    arguments.require_tensors(op, weight=weight, grad_output=grad_output)
    arguments.known_algorithm(op, algorithm)
    size = _size(op, rank, "input_size", input_size)
    geometry = _geometry(op, rank, size[2:], weight.shape[2:], stride, padding, dilation, groups)
    y: Tensor = _INPUT(grad_output, weight, None, size, *geometry, False, algorithm)
    return y


def _weight(
    op: str,
    rank: int,
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    algorithm: str,
) -> Tensor:
    arguments.require_tensors(op, input=input, grad_output=grad_output)
    arguments.known_algorithm(op, algorithm)
    size = _size(op, rank, "weight_size", weight_size)
    geometry = _geometry(op, rank, input.shape[2:], size[2:], stride, padding, dilation, groups)
    y: Tensor = _WEIGHT(grad_output, input, size, *geometry, False, algorithm)[0]
    return y


def conv1d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Computes conv1d's gradient with respect to its input: ``(N, K, P) -> (N, C, L)``.

    Args:
        input_size: ``(N, C, L)``.
        weight: ``(K, C / groups, R)``; float64, float32, float16 or bfloat16.
        grad_output: ``(N, K, P)``, of the same dtype.
        stride: an int or one per axis, as all of the forward convolution's.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The gradient, in grad_output's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown algorithm.

    Source:
        torch.nn.grad; V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
        learning, arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> w, grad = torch.tensor([[[1.0, 10]]]), torch.tensor([[[1.0, 2, 3]]])
        >>> cnnkern.nn.grad.conv1d_input((1, 1, 4), w, grad)
        tensor([[[ 1., 12., 23., 30.]]])
    """
    return _input(
        "conv1d_input",
        1,
        input_size,
        weight,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )


def conv1d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Computes conv1d's gradient with respect to its weight, ``(K, C / groups, R)``.

    Args:
        input: ``(N, C, L)``; float64, float32, float16 or bfloat16.
        weight_size: ``(K, C / groups, R)``.
        grad_output: ``(N, K, P)``, of the same dtype.
        stride: an int or one per axis, as all of the forward convolution's.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The gradient, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown algorithm.

    Source:
        torch.nn.grad; V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
        learning, arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, grad = torch.tensor([[[1.0, 2, 3, 4]]]), torch.tensor([[[1.0, 10, 100]]])
        >>> cnnkern.nn.grad.conv1d_weight(x, (1, 1, 2), grad)
        tensor([[[321., 432.]]])
    """
    return _weight(
        "conv1d_weight",
        1,
        input,
        weight_size,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )


def conv2d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Computes conv2d's gradient with respect to its input: ``(N, K, P, Q) -> (N, C, H, W)``.

    Args:
        input_size: ``(N, C, H, W)``.
        weight: ``(K, C / groups, R, S)``; float64, float32, float16 or bfloat16.
        grad_output: ``(N, K, P, Q)``, of the same dtype.
        stride: an int or one per axis, as all of the forward convolution's.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The gradient, in grad_output's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown algorithm.

    Source:
        torch.nn.grad; V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
        learning, arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> w, grad = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
        >>> cnnkern.nn.grad.conv2d_input((1, 1, 3, 3), w, grad)
        tensor([[[[1., 2., 1.],
                  [2., 4., 2.],
                  [1., 2., 1.]]]])
    """
    return _input(
        "conv2d_input",
        2,
        input_size,
        weight,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )


def conv2d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Computes conv2d's gradient with respect to its weight, ``(K, C / groups, R, S)``.

    Args:
        input: ``(N, C, H, W)``; float64, float32, float16 or bfloat16.
        weight_size: ``(K, C / groups, R, S)``.
        grad_output: ``(N, K, P, Q)``, of the same dtype.
        stride: an int or one per axis, as all of the forward convolution's.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The gradient, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown algorithm.

    Source:
        torch.nn.grad; V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
        learning, arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, grad = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)
        >>> cnnkern.nn.grad.conv2d_weight(x, (1, 1, 2, 2), grad)
        tensor([[[[4., 4.],
                  [4., 4.]]]])
    """
    return _weight(
        "conv2d_weight",
        2,
        input,
        weight_size,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )


def conv3d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Computes conv3d's gradient with respect to its input: ``(N, K, O, P, Q) -> (N, C, D, H, W)``.

    Args:
        input_size: ``(N, C, D, H, W)``.
        weight: ``(K, C / groups, T, R, S)``; float64, float32, float16 or bfloat16.
        grad_output: ``(N, K, O, P, Q)``, of the same dtype.
        stride: an int or one per axis, as all of the forward convolution's.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The gradient, in grad_output's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown algorithm.

    Source:
        torch.nn.grad; V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
        learning, arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> w, grad = torch.ones(4, 8, 2, 3, 3), torch.ones(2, 4, 9, 8, 18)
        >>> cnnkern.nn.grad.conv3d_input((2, 8, 10, 10, 20), w, grad).shape
        torch.Size([2, 8, 10, 10, 20])
    """
    return _input(
        "conv3d_input",
        3,
        input_size,
        weight,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )


def conv3d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Computes conv3d's gradient with respect to its weight, ``(K, C / groups, T, R, S)``.

    Args:
        input: ``(N, C, D, H, W)``; float64, float32, float16 or bfloat16.
        weight_size: ``(K, C / groups, T, R, S)``.
        grad_output: ``(N, K, O, P, Q)``, of the same dtype.
        stride: an int or one per axis, as all of the forward convolution's.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        algorithm: "auto", or the name of the one that must serve.

    Returns:
        The gradient, in the input's dtype and memory format.

    Raises:
        TypeError: an argument of a wrong type.
        RuntimeError: shapes, sizes, dtypes or devices that do not fit.
        ValueError: an unknown algorithm.

    Source:
        torch.nn.grad; V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
        learning, arXiv:1603.07285, chapter 4.

    Example:
        >>> import torch, cnnkern
        >>> x, grad = torch.ones(2, 8, 10, 10, 20), torch.ones(2, 4, 9, 8, 18)
        >>> cnnkern.nn.grad.conv3d_weight(x, (4, 8, 2, 3, 3), grad).shape
        torch.Size([4, 8, 2, 3, 3])
    """
    return _weight(
        "conv3d_weight",
        3,
        input,
        weight_size,
        grad_output,
        stride,
        padding,
        dilation,
        groups,
        algorithm,
    )
