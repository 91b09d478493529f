# SPDX-License-Identifier: BSD-3-Clause
"""Max unpooling layers over one, two or three axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import functional as F


class MaxUnpool1d(torch.nn.MaxUnpool1d):
    """torch.nn.MaxUnpool1d over cnnkern: ``(N, C, L) -> (N, C, P)``, or both without N.

    Args:
        kernel_size: the window of the pool, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: its padding, an int or one per axis.

    Shape:
        Input, indices and output as cnnkern.functional.max_unpool1d, float64, float32, float16 or
        bfloat16; indices int64.

    Raises:
        ValueError, RuntimeError: when called, as cnnkern.functional.max_unpool1d.

    Source:
        torch.nn.MaxUnpool1d.

    Example:
        >>> import torch, cnnkern
        >>> x = torch.tensor([[3.0, 0, 1, 2, 7, 4]])
        >>> values, indices = cnnkern.nn.MaxPool1d(2, return_indices=True)(x)
        >>> cnnkern.nn.MaxUnpool1d(2)(values, indices)
        tensor([[3., 0., 0., 2., 7., 0.]])
    """

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Puts maxima back where they stood."""
        return F.max_unpool1d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool2d(torch.nn.MaxUnpool2d):
    """torch.nn.MaxUnpool2d over cnnkern: ``(N, C, H, W) -> (N, C, P, Q)``, or both without N.

    Args:
        kernel_size: the window of the pool, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: its padding, an int or one per axis.

    Shape:
        Input, indices and output as cnnkern.functional.max_unpool2d, float64, float32, float16 or
        bfloat16; indices int64.

    Raises:
        ValueError, RuntimeError: when called, as cnnkern.functional.max_unpool2d.

    Source:
        torch.nn.MaxUnpool2d.

    Example:
        >>> import torch, cnnkern
        >>> pool = cnnkern.nn.MaxPool2d(2, return_indices=True)
        >>> values, indices = pool(torch.rand(1, 1, 5, 5))
        >>> cnnkern.nn.MaxUnpool2d(2)(values, indices, output_size=[5, 5]).shape
        torch.Size([1, 1, 5, 5])
    """

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Puts maxima back where they stood."""
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool3d(torch.nn.MaxUnpool3d):
    """torch.nn.MaxUnpool3d over cnnkern: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or both without N.

    Args:
        kernel_size: the window of the pool, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        padding: its padding, an int or one per axis.

    Shape:
        Input, indices and output as cnnkern.functional.max_unpool3d, float64, float32, float16 or
        bfloat16; indices int64.

    Raises:
        ValueError, RuntimeError: when called, as cnnkern.functional.max_unpool3d.

    Source:
        torch.nn.MaxUnpool3d.

    Example:
        >>> import torch, cnnkern
        >>> pool = cnnkern.nn.MaxPool3d(2, return_indices=True)
        >>> cnnkern.nn.MaxUnpool3d(2)(*pool(torch.rand(1, 1, 4, 4, 4))).shape
        torch.Size([1, 1, 4, 4, 4])
    """

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Puts maxima back where they stood."""
        return F.max_unpool3d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )
