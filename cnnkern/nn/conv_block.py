# SPDX-License-Identifier: BSD-3-Clause
"""Convolution, bias, ReLU and max pooling as one layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import functional as F
from ..functional import _arguments as arguments
from ..functional._arguments import Ints, Padding
from .conv import PaddingMode, _Conv, _torch_padding


class ConvBlock2d(_Conv, torch.nn.Conv2d):
    """Conv2d, ReLU and MaxPool2d in one operator: ``(N, C, H, W) -> (N, K, P, Q)``, or without N.

    Parameters, initialisation and state_dict are torch.nn.Conv2d's, so that the weights of a
    convolution load as they are. What the convolution makes is never kept, see
    cnnkern.functional.conv_block2d.

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
        pool_size: the pool's window, an int or one per axis.
        pool_stride: its step; the window's size if None.
        pool_padding: minus infinity around what is pooled, in every form that MaxPool2d takes.
        pool_dilation: the step between elements of the window, an int or one per axis.
        ceil_mode: whether the pool's sizes are rounded up.
        activation: "relu", or None.
        algorithm: of the convolution: "auto", or the name of the one that must serve.

    Shape:
        weight ``(K, C / groups, R, S)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv_block2d.

    Raises:
        ValueError: as torch.nn.Conv2d; an unknown activation or algorithm.

    Source:
        torch.nn.Conv2d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> layer = cnnkern.nn.ConvBlock2d(3, 64, 3, padding=1)
        >>> layer
        ConvBlock2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), pool_size=2)
        >>> layer(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 64, 112, 112])
    """

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
        pool_size: Ints = 2,
        pool_stride: Ints | None = None,
        pool_padding: Padding = 0,
        pool_dilation: Ints = 1,
        ceil_mode: bool = False,
        activation: str | None = "relu",
        algorithm: str = "auto",
    ) -> None:
        self._check_extras(activation, algorithm)
        arguments.flag(type(self).__name__, "ceil_mode", ceil_mode)
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
        self.pool_size, self.pool_stride, self.pool_padding = pool_size, pool_stride, pool_padding
        self.pool_dilation, self.ceil_mode = pool_dilation, ceil_mode
        self.activation, self.algorithm = activation, algorithm

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = self._around(input), 0
        return F.conv_block2d(
            input,
            weight,
            bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            pool_size=self.pool_size,
            pool_stride=self.pool_stride,
            pool_padding=self.pool_padding,
            pool_dilation=self.pool_dilation,
            ceil_mode=self.ceil_mode,
            activation=self.activation,
            algorithm=self.algorithm,
        )

    def _activation_text(self) -> str:
        # A ReLU is this layer's default.
        return "" if self.activation == "relu" else f", activation={self.activation}"

    def extra_repr(self) -> str:
        """Describes the convolution as torch does, then the pool, then what is not the default."""
        text = f"{super().extra_repr()}, pool_size={self.pool_size}"
        if self.pool_stride is not None:
            text += f", pool_stride={self.pool_stride}"
        for name, default in (("pool_padding", 0), ("pool_dilation", 1), ("ceil_mode", False)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text
