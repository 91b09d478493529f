# SPDX-License-Identifier: BSD-3-Clause
"""Convolution layers that learn their number of input channels from the first input.

That call makes the parameters, and the layer becomes the class of this package that it is named
after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..functional._arguments import Ints, Padding
from .conv import Conv1d, Conv2d, Conv3d, PaddingMode
from .conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

# mypy cannot write down what it infers of torch's lazy classes.
_LazyConv1d: Any = torch.nn.LazyConv1d
_LazyConv2d: Any = torch.nn.LazyConv2d
_LazyConv3d: Any = torch.nn.LazyConv3d
_LazyConvTranspose1d: Any = torch.nn.LazyConvTranspose1d
_LazyConvTranspose2d: Any = torch.nn.LazyConvTranspose2d
_LazyConvTranspose3d: Any = torch.nn.LazyConvTranspose3d


class LazyConv1d(_LazyConv1d, Conv1d):  # type: ignore[misc]
    """torch.nn.LazyConv1d over cnnkern: Conv1d whose in_channels is the first input's.

    Args:
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        ``(N, C, L) -> (N, K, P)``, as Conv1d.

    Raises:
        ValueError: as torch.nn.LazyConv1d; an unknown activation or algorithm.
        RuntimeError: when called first, an input of another rank.

    Source:
        torch.nn.LazyConv1d.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.LazyConv1d(33, 3, stride=2)
        >>> layer(torch.zeros(20, 16, 50)).shape
        torch.Size([20, 33, 24])
    """

    cls_to_become = Conv1d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        # torch's constructor goes on to Conv1d's, which takes every padding.
        init: Any = super().__init__  # of torch's lazy class; mypy sees the next base's
        init(
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm


class LazyConv2d(_LazyConv2d, Conv2d):  # type: ignore[misc]
    """torch.nn.LazyConv2d over cnnkern: Conv2d whose in_channels is the first input's.

    Args:
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        ``(N, C, H, W) -> (N, K, P, Q)``, as Conv2d.

    Raises:
        ValueError: as torch.nn.LazyConv2d; an unknown activation or algorithm.
        RuntimeError: when called first, an input of another rank.

    Source:
        torch.nn.LazyConv2d.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.LazyConv2d(8, 3, padding="same", activation="relu")
        >>> layer(torch.zeros(1, 3, 7, 7)).shape
        torch.Size([1, 8, 7, 7])
        >>> layer
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, activation=relu)
    """

    cls_to_become = Conv2d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        # torch's constructor goes on to Conv2d's, which takes every padding.
        init: Any = super().__init__  # of torch's lazy class; mypy sees the next base's
        init(
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm


class LazyConv3d(_LazyConv3d, Conv3d):  # type: ignore[misc]
    """torch.nn.LazyConv3d over cnnkern: Conv3d whose in_channels is the first input's.

    Args:
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same".
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        ``(N, C, D, H, W) -> (N, K, O, P, Q)``, as Conv3d.

    Raises:
        ValueError: as torch.nn.LazyConv3d; an unknown activation or algorithm.
        RuntimeError: when called first, an input of another rank.

    Source:
        torch.nn.LazyConv3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.LazyConv3d(2, 3)(torch.zeros(1, 4, 5, 5, 5)).shape
        torch.Size([1, 2, 3, 3, 3])
    """

    cls_to_become = Conv3d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        # torch's constructor goes on to Conv3d's, which takes every padding.
        init: Any = super().__init__  # of torch's lazy class; mypy sees the next base's
        init(
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm


class LazyConvTranspose1d(_LazyConvTranspose1d, ConvTranspose1d):  # type: ignore[misc]
    """torch.nn.LazyConvTranspose1d over cnnkern: in_channels is the first input's.

    Args:
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, or a (before, after) pair per axis: how much is cut off.
        output_padding: an int or one per axis: how much is added after.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        dilation: an int or one per axis.
        padding_mode: "zeros", as in torch.
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        ``(N, C, L) -> (N, K, P)``, as ConvTranspose1d.

    Raises:
        ValueError: as torch.nn.LazyConvTranspose1d; an unknown activation or algorithm.
        RuntimeError: when called first, an input of another rank.

    Source:
        torch.nn.LazyConvTranspose1d.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.LazyConvTranspose1d(2, 3, stride=2)
        >>> layer(torch.zeros(1, 4, 5)).shape
        torch.Size([1, 2, 11])
    """

    cls_to_become = ConvTranspose1d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        init: Any = super().__init__  # of torch's lazy class; mypy sees the next base's
        init(
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm


class LazyConvTranspose2d(_LazyConvTranspose2d, ConvTranspose2d):  # type: ignore[misc]
    """torch.nn.LazyConvTranspose2d over cnnkern: in_channels is the first input's.

    Args:
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, or a (before, after) pair per axis: how much is cut off.
        output_padding: an int or one per axis: how much is added after.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        dilation: an int or one per axis.
        padding_mode: "zeros", as in torch.
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        ``(N, C, H, W) -> (N, K, P, Q)``, as ConvTranspose2d.

    Raises:
        ValueError: as torch.nn.LazyConvTranspose2d; an unknown activation or algorithm.
        RuntimeError: when called first, an input of another rank.

    Source:
        torch.nn.LazyConvTranspose2d.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.LazyConvTranspose2d(16, 3, stride=2, padding=1)
        >>> layer(torch.zeros(1, 8, 6, 6), output_size=(12, 12)).shape
        torch.Size([1, 16, 12, 12])
    """

    cls_to_become = ConvTranspose2d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        init: Any = super().__init__  # of torch's lazy class; mypy sees the next base's
        init(
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm


class LazyConvTranspose3d(_LazyConvTranspose3d, ConvTranspose3d):  # type: ignore[misc]
    """torch.nn.LazyConvTranspose3d over cnnkern: in_channels is the first input's.

    Args:
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, or a (before, after) pair per axis: how much is cut off.
        output_padding: an int or one per axis: how much is added after.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        dilation: an int or one per axis.
        padding_mode: "zeros", as in torch.
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        ``(N, C, D, H, W) -> (N, K, O, P, Q)``, as ConvTranspose3d.

    Raises:
        ValueError: as torch.nn.LazyConvTranspose3d; an unknown activation or algorithm.
        RuntimeError: when called first, an input of another rank.

    Source:
        torch.nn.LazyConvTranspose3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.LazyConvTranspose3d(3, 2, stride=2)(torch.zeros(1, 2, 4, 4, 4)).shape
        torch.Size([1, 3, 8, 8, 8])
    """

    cls_to_become = ConvTranspose3d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        activation: str | None = None,
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        init: Any = super().__init__  # of torch's lazy class; mypy sees the next base's
        init(
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm
