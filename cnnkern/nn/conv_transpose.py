# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution layers over one, two or three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .. import functional as F
from ..functional import _arguments as arguments
from ..functional._arguments import Ints
from ._extras import Extras


class _ConvTranspose(Extras):
    # What the three ranks share.
    padding: Any

    def _output_padding_for(self, input: Tensor, output_size: Sequence[int] | None) -> Ints:
        # The output padding that gives the size asked for, or the layer's own.
        name, rank = type(self).__name__, len(self.kernel_size)
        if self.padding_mode != "zeros":
            raise ValueError(f"{name}: expected padding_mode 'zeros', got {self.padding_mode!r}")
        if output_size is None:
            return self.output_padding
        wanted, given = list(output_size), list(output_size)
        if len(wanted) == input.dim():
            wanted = wanted[-rank:]
        if len(wanted) != rank:
            raise ValueError(
                f"{name}: expected output_size of {rank} or {input.dim()} values, got {given}"
            )
        pads = arguments.before_and_after(name, rank, "padding", self.padding)
        least = [
            (n - 1) * s - before - after + d * (k - 1) + 1
            for n, s, before, after, d, k in zip(
                input.shape[-rank:],
                self.stride,
                pads[::2],
                pads[1::2],
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
        if any(not low <= w <= high for low, w, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"{name}: expected output_size from {least} to {most}, got {given}; input "
                f"{tuple(input.shape)}"
            )
        return [w - low for w, low in zip(wanted, least, strict=True)]


class ConvTranspose1d(_ConvTranspose, torch.nn.ConvTranspose1d):
    """torch.nn.ConvTranspose1d over cnnkern: ``(N, C, L) -> (N, K, P)``, or without N.

    Args:
        in_channels: C.
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
        weight ``(C, K / groups, R)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv_transpose1d.

    Raises:
        ValueError: as torch.nn.ConvTranspose1d; an unknown activation or algorithm.

    Source:
        torch.nn.ConvTranspose1d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.ConvTranspose1d(4, 2, 3, stride=2)(torch.zeros(1, 4, 5)).shape
        torch.Size([1, 2, 11])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
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
            padding,  # type: ignore[arg-type]
            output_padding,  # type: ignore[arg-type]
            groups,
            bias,
            dilation,  # type: ignore[arg-type]
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Applies the layer; `output_size` picks one of the sizes that the stride leaves open."""
        return F.conv_transpose1d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding_for(input, output_size),
            self.groups,
            self.dilation,
            activation=self.activation,
            algorithm=self.algorithm,
        )


class ConvTranspose2d(_ConvTranspose, torch.nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d over cnnkern: ``(N, C, H, W) -> (N, K, P, Q)``, or without N.

    Args:
        in_channels: C.
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
        weight ``(C, K / groups, R, S)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv_transpose2d.

    Raises:
        ValueError: as torch.nn.ConvTranspose2d; an unknown activation or algorithm.

    Source:
        torch.nn.ConvTranspose2d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> down = cnnkern.nn.Conv2d(16, 16, 3, stride=2, padding=1)
        >>> up = cnnkern.nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1)
        >>> x = torch.zeros(1, 16, 12, 12)
        >>> up(down(x), output_size=x.shape).shape
        torch.Size([1, 16, 12, 12])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
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
            padding,  # type: ignore[arg-type]
            output_padding,  # type: ignore[arg-type]
            groups,
            bias,
            dilation,  # type: ignore[arg-type]
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Applies the layer; `output_size` picks one of the sizes that the stride leaves open."""
        return F.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding_for(input, output_size),
            self.groups,
            self.dilation,
            activation=self.activation,
            algorithm=self.algorithm,
        )


class ConvTranspose3d(_ConvTranspose, torch.nn.ConvTranspose3d):
    """torch.nn.ConvTranspose3d over cnnkern: ``(N, C, D, H, W) -> (N, K, O, P, Q)``, or without N.

    Args:
        in_channels: C.
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
        weight ``(C, K / groups, T, R, S)``, bias ``(K,)``; input and output as
        cnnkern.functional.conv_transpose3d.

    Raises:
        ValueError: as torch.nn.ConvTranspose3d; an unknown activation or algorithm.

    Source:
        torch.nn.ConvTranspose3d, whose initialisation this inherits.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.ConvTranspose3d(4, 2, 2, stride=2)(torch.zeros(1, 4, 3, 3, 3)).shape
        torch.Size([1, 2, 6, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | Sequence[tuple[int, int]] = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
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
            padding,  # type: ignore[arg-type]
            output_padding,  # type: ignore[arg-type]
            groups,
            bias,
            dilation,  # type: ignore[arg-type]
            padding_mode,
            device,
            dtype,
        )
        self.activation, self.algorithm = activation, algorithm

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Applies the layer; `output_size` picks one of the sizes that the stride leaves open."""
        return F.conv_transpose3d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding_for(input, output_size),
            self.groups,
            self.dilation,
            activation=self.activation,
            algorithm=self.algorithm,
        )
