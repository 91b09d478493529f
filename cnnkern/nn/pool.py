# SPDX-License-Identifier: BSD-3-Clause
"""Pooling layers over one, two or three axes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import functional as F
from ..functional._arguments import Ints, Padding


class MaxPool1d(torch.nn.MaxPool1d):
    """torch.nn.MaxPool1d over cnnkern: ``(N, C, L) -> (N, C, P)``, or both without N.

    Args:
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: minus infinity around the input: an int, one per axis, a (before, after) pair per
            axis, "valid" or "same" (with any stride, as Keras).
        dilation: the step between taps, an int or one per axis.
        return_indices: whether to give where the maxima stood, too.
        ceil_mode: whether sizes are rounded up.

    Shape:
        Input and output as cnnkern.functional.max_pool1d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.max_pool1d.

    Source:
        torch.nn.MaxPool1d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.MaxPool1d(3, stride=2)(torch.zeros(20, 16, 50)).shape
        torch.Size([20, 16, 24])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            dilation,  # type: ignore[arg-type]
            return_indices,
            ceil_mode,
        )

    def forward(self, input: Tensor) -> Any:
        """Takes the maximum of each window."""
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool2d(torch.nn.MaxPool2d):
    """torch.nn.MaxPool2d over cnnkern: ``(N, C, H, W) -> (N, C, P, Q)``, or both without N.

    Args:
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: minus infinity around the input: an int, one per axis, a (before, after) pair per
            axis, "valid" or "same" (with any stride, as Keras).
        dilation: the step between taps, an int or one per axis.
        return_indices: whether to give where the maxima stood, too.
        ceil_mode: whether sizes are rounded up.

    Shape:
        Input and output as cnnkern.functional.max_pool2d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.max_pool2d.

    Source:
        torch.nn.MaxPool2d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.MaxPool2d(2, padding="same")(torch.zeros(1, 1, 5, 5)).shape
        torch.Size([1, 1, 3, 3])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            dilation,  # type: ignore[arg-type]
            return_indices,
            ceil_mode,
        )

    def forward(self, input: Tensor) -> Any:
        """Takes the maximum of each window."""
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool3d(torch.nn.MaxPool3d):
    """torch.nn.MaxPool3d over cnnkern: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or both without N.

    Args:
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: minus infinity around the input: an int, one per axis, a (before, after) pair per
            axis, "valid" or "same" (with any stride, as Keras).
        dilation: the step between taps, an int or one per axis.
        return_indices: whether to give where the maxima stood, too.
        ceil_mode: whether sizes are rounded up.

    Shape:
        Input and output as cnnkern.functional.max_pool3d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.max_pool3d.

    Source:
        torch.nn.MaxPool3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.MaxPool3d(2)(torch.zeros(1, 1, 4, 4, 4)).shape
        torch.Size([1, 1, 2, 2, 2])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            dilation,  # type: ignore[arg-type]
            return_indices,
            ceil_mode,
        )

    def forward(self, input: Tensor) -> Any:
        """Takes the maximum of each window."""
        return F.max_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool1d(torch.nn.AvgPool1d):
    """torch.nn.AvgPool1d over cnnkern: ``(N, C, L) -> (N, C, P)``, or both without N.

    Args:
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: zeros around the input: an int, one per axis, a (before, after) pair per axis,
            "valid" or "same" (with any stride, as Keras).
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether the divisor counts the taps in the padding ("same": never).

    Shape:
        Input and output as cnnkern.functional.avg_pool1d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.avg_pool1d.

    Source:
        torch.nn.AvgPool1d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AvgPool1d(2)(torch.tensor([[3.0, 0, 1, 2, 7, 4]]))
        tensor([[1.5000, 1.5000, 5.5000]])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding if isinstance(padding, int) else 0,
            ceil_mode,
            count_include_pad,
        )
        if not isinstance(padding, int):
            # torch's constructor would take a name apart into letters.
            self.padding = padding  # type: ignore[assignment]

    def forward(self, input: Tensor) -> Tensor:
        """Takes the average of each window."""
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class AvgPool2d(torch.nn.AvgPool2d):
    """torch.nn.AvgPool2d over cnnkern: ``(N, C, H, W) -> (N, C, P, Q)``, or both without N.

    Args:
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: zeros around the input: an int, one per axis, a (before, after) pair per axis,
            "valid" or "same" (with any stride, as Keras).
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether the divisor counts the taps in the padding ("same": never).
        divisor_override: what every sum is divided by, instead of the number of taps.

    Shape:
        Input and output as cnnkern.functional.avg_pool2d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.avg_pool2d.

    Source:
        torch.nn.AvgPool2d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AvgPool2d(3, stride=1, padding="same")(torch.ones(1, 1, 3, 3))
        tensor([[[[1., 1., 1.],
                  [1., 1., 1.],
                  [1., 1., 1.]]]])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            ceil_mode,
            count_include_pad,
            divisor_override,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Takes the average of each window."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(torch.nn.AvgPool3d):
    """torch.nn.AvgPool3d over cnnkern: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or both without N.

    Args:
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: zeros around the input: an int, one per axis, a (before, after) pair per axis,
            "valid" or "same" (with any stride, as Keras).
        ceil_mode: whether sizes are rounded up.
        count_include_pad: whether the divisor counts the taps in the padding ("same": never).
        divisor_override: what every sum is divided by, instead of the number of taps.

    Shape:
        Input and output as cnnkern.functional.avg_pool3d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.avg_pool3d.

    Source:
        torch.nn.AvgPool3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AvgPool3d(2)(torch.zeros(1, 1, 4, 4, 4)).shape
        torch.Size([1, 1, 2, 2, 2])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            ceil_mode,
            count_include_pad,
            divisor_override,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Takes the average of each window."""
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )
