# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive pooling layers over one, two or three axes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import functional as F


class AdaptiveMaxPool1d(torch.nn.AdaptiveMaxPool1d):
    """torch.nn.AdaptiveMaxPool1d over cnnkern: ``(N, C, L) -> (N, C, P)``, or both without N.

    Args:
        output_size: how many windows, an int.
        return_indices: whether to give where the maxima stood, too.

    Shape:
        Input and output as cnnkern.functional.adaptive_max_pool1d, float64, float32, float16 or
        bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.adaptive_max_pool1d.

    Source:
        torch.nn.AdaptiveMaxPool1d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AdaptiveMaxPool1d(5)(torch.zeros(2, 3, 8)).shape
        torch.Size([2, 3, 5])
    """

    def forward(self, input: Tensor) -> Any:
        """Takes the maximum of each window."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(torch.nn.AdaptiveMaxPool2d):
    """torch.nn.AdaptiveMaxPool2d over cnnkern: ``(N, C, H, W) -> (N, C, P, Q)``, or both without N.

    Args:
        output_size: how many windows: an int for all axes, or a tuple with one per axis, where None
            keeps the input's size.
        return_indices: whether to give where the maxima stood, too.

    Shape:
        Input and output as cnnkern.functional.adaptive_max_pool2d, float64, float32, float16 or
        bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.adaptive_max_pool2d.

    Source:
        torch.nn.AdaptiveMaxPool2d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AdaptiveMaxPool2d((None, 7))(torch.zeros(1, 64, 10, 9)).shape
        torch.Size([1, 64, 10, 7])
    """

    def forward(self, input: Tensor) -> Any:
        """Takes the maximum of each window."""
        return F.adaptive_max_pool2d(
            input,
            self.output_size,  # type: ignore[arg-type]  # None is the functional's to refuse
            self.return_indices,
        )


class AdaptiveMaxPool3d(torch.nn.AdaptiveMaxPool3d):
    """torch.nn.AdaptiveMaxPool3d over cnnkern: ``(N, C, D, H, W) -> (N, C, O, P, Q)`` or without N.

    Args:
        output_size: how many windows: an int for all axes, or a tuple with one per axis, where None
            keeps the input's size.
        return_indices: whether to give where the maxima stood, too.

    Shape:
        Input and output as cnnkern.functional.adaptive_max_pool3d, float64, float32, float16 or
        bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.adaptive_max_pool3d.

    Source:
        torch.nn.AdaptiveMaxPool3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AdaptiveMaxPool3d(2)(torch.zeros(1, 4, 5, 6, 7)).shape
        torch.Size([1, 4, 2, 2, 2])
    """

    def forward(self, input: Tensor) -> Any:
        """Takes the maximum of each window."""
        return F.adaptive_max_pool3d(
            input,
            self.output_size,  # type: ignore[arg-type]  # None is the functional's to refuse
            self.return_indices,
        )


class AdaptiveAvgPool1d(torch.nn.AdaptiveAvgPool1d):
    """torch.nn.AdaptiveAvgPool1d over cnnkern: ``(N, C, L) -> (N, C, P)``, or both without N.

    Args:
        output_size: how many windows, an int.

    Shape:
        Input and output as cnnkern.functional.adaptive_avg_pool1d, float64, float32, float16 or
        bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.adaptive_avg_pool1d.

    Source:
        torch.nn.AdaptiveAvgPool1d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AdaptiveAvgPool1d(1)(torch.tensor([[3.0, 0, 1, 2, 7, 4]]))
        tensor([[2.8333]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Takes the average of each window."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(torch.nn.AdaptiveAvgPool2d):
    """torch.nn.AdaptiveAvgPool2d over cnnkern: ``(N, C, H, W) -> (N, C, P, Q)``, or both without N.

    Args:
        output_size: how many windows: an int for all axes, or a tuple with one per axis, where None
            keeps the input's size.

    Shape:
        Input and output as cnnkern.functional.adaptive_avg_pool2d, float64, float32, float16 or
        bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.adaptive_avg_pool2d.

    Source:
        torch.nn.AdaptiveAvgPool2d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AdaptiveAvgPool2d(1)(torch.zeros(8, 512, 7, 7)).shape
        torch.Size([8, 512, 1, 1])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Takes the average of each window."""
        return F.adaptive_avg_pool2d(
            input,
            self.output_size,  # type: ignore[arg-type]  # None is the functional's to refuse
        )


class AdaptiveAvgPool3d(torch.nn.AdaptiveAvgPool3d):
    """torch.nn.AdaptiveAvgPool3d over cnnkern: ``(N, C, D, H, W) -> (N, C, O, P, Q)`` or without N.

    Args:
        output_size: how many windows: an int for all axes, or a tuple with one per axis, where None
            keeps the input's size.

    Shape:
        Input and output as cnnkern.functional.adaptive_avg_pool3d, float64, float32, float16 or
        bfloat16.

    Raises:
        RuntimeError: when called, as cnnkern.functional.adaptive_avg_pool3d.

    Source:
        torch.nn.AdaptiveAvgPool3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.AdaptiveAvgPool3d((None, 1, 1))(torch.zeros(1, 4, 5, 6, 7)).shape
        torch.Size([1, 4, 5, 1, 1])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Takes the average of each window."""
        return F.adaptive_avg_pool3d(
            input,
            self.output_size,  # type: ignore[arg-type]  # None is the functional's to refuse
        )
