# SPDX-License-Identifier: BSD-3-Clause
"""Convolution layers over one, two or three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .. import functional as F
from ..functional._arguments import Ints, Padding
from ._extras import Extras

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def _torch_padding(padding: Padding) -> Any:
    # What torch's constructor is told: it refuses "same" with strides, and knows no pairs. A name
    # that it does not know it may refuse in its own words.
    if padding == "same" or not (isinstance(padding, str) or _symmetric(padding)):
        return 0
    return padding


def _symmetric(padding: Ints | Sequence[tuple[int, int]]) -> bool:
    return not isinstance(padding, Sequence) or not any(isinstance(p, Sequence) for p in padding)


class _Conv(Extras):
    # What the three ranks share.
    padding: Any

    def _take_padding(self, padding: Padding) -> None:
        # What torch's constructor did not get to see, in the form that it would keep.
        if isinstance(padding, str):
            self.padding = padding
        elif not _symmetric(padding):
            self.padding = tuple(map(tuple, padding))  # type: ignore[arg-type]


class _WithResidual(_Conv):
    # Any rank, with an addition behind it.
    _function: str  # functional's, by name: torch.fx puts its own in that place

    def forward(self, input: Tensor, *, residual: Tensor | None = None) -> Tensor:
        """Convolves, and adds ``residual`` before the activation, as functional's conv does."""
        return self._conv_forward(input, self.weight, self.bias, residual)

    def _conv_forward(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        residual: Tensor | None = None,
    ) -> Tensor:
        y: Tensor = getattr(F, self._function)(
            input,
            weight,
            bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            padding_mode=self.padding_mode,
            residual=residual,
            activation=self.activation,
            algorithm=self.algorithm,
        )
        return y


class Conv1d(_WithResidual, torch.nn.Conv1d):
    """torch.nn.Conv1d over cnnkern: ``(N, C, L) -> (N, K, P)``, or both without N.

    Args:
        in_channels: C.
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same" (with any
            stride, as Keras).
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        weight ``(K, C / groups, R)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv1d. The call takes its ``residual``, too.

    Raises:
        ValueError: as torch.nn.Conv1d; an unknown activation or algorithm.

    Source:
        torch.nn.Conv1d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.Conv1d(16, 33, 3, stride=2)(torch.zeros(20, 16, 50)).shape
        torch.Size([20, 33, 24])
    """

    _function = "conv1d"

    def __init__(
        self,
        in_channels: int,
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
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            _torch_padding(padding),
            dilation,  # type: ignore[arg-type]
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self._take_padding(padding)
        self.activation, self.algorithm = activation, algorithm


class Conv2d(_WithResidual, torch.nn.Conv2d):
    """torch.nn.Conv2d over cnnkern: ``(N, C, H, W) -> (N, K, P, Q)``, or both without N.

    Args:
        in_channels: C.
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same" (with any
            stride, as Keras).
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        weight ``(K, C / groups, R, S)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv2d. The call takes its ``residual``, too.

    Raises:
        ValueError: as torch.nn.Conv2d; an unknown activation or algorithm.

    Source:
        torch.nn.Conv2d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.Conv2d(3, 8, 3, stride=2, padding="same", activation="relu")
        >>> layer
        Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=same, activation=relu)
        >>> layer(torch.zeros(1, 3, 7, 7)).shape
        torch.Size([1, 8, 4, 4])
    """

    _function = "conv2d"

    def __init__(
        self,
        in_channels: int,
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
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            _torch_padding(padding),
            dilation,  # type: ignore[arg-type]
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self._take_padding(padding)
        self.activation, self.algorithm = activation, algorithm


class Conv3d(_WithResidual, torch.nn.Conv3d):
    """torch.nn.Conv3d over cnnkern: ``(N, C, D, H, W) -> (N, K, O, P, Q)``, or both without N.

    Args:
        in_channels: C.
        out_channels: K.
        kernel_size: an int or one per axis.
        stride: an int or one per axis.
        padding: an int, one per axis, a (before, after) pair per axis, "valid" or "same" (with any
            stride, as Keras).
        dilation: an int or one per axis.
        groups: into how many parts the channels are split.
        bias: whether there is one.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: float64, float32, float16 or bfloat16.
        activation: None, or "relu", which is fused.
        algorithm: "auto", or the name of the one that must serve.

    Shape:
        weight ``(K, C / groups, T, R, S)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv3d. The call takes its ``residual``, too.

    Raises:
        ValueError: as torch.nn.Conv3d; an unknown activation or algorithm.

    Source:
        torch.nn.Conv3d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.Conv3d(1, 2, 3, padding=((1, 1), (0, 2), (2, 0)))
        >>> layer(torch.zeros(1, 1, 5, 5, 5)).shape
        torch.Size([1, 2, 5, 5, 5])
    """

    _function = "conv3d"

    def __init__(
        self,
        in_channels: int,
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
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            _torch_padding(padding),
            dilation,  # type: ignore[arg-type]
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self._take_padding(padding)
        self.activation, self.algorithm = activation, algorithm
