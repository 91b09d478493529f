# SPDX-License-Identifier: BSD-3-Clause
"""Power-average pooling layers over one, two or three axes."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import functional as F


class LPPool1d(torch.nn.LPPool1d):
    """torch.nn.LPPool1d over cnnkern: ``(N, C, L) -> (N, C, P)``, or both without N.

    Args:
        norm_type: which norm, any number but 0.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        ceil_mode: whether sizes are rounded up.

    Shape:
        Input and output as cnnkern.functional.lp_pool1d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError, ZeroDivisionError: when called, as cnnkern.functional.lp_pool1d.

    Source:
        torch.nn.LPPool1d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.LPPool1d(2, 2)(torch.tensor([[3.0, 4, 0, 0, 5, 12]]))
        tensor([[ 5.,  0., 13.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Takes the norm of each window."""
        return F.lp_pool1d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool2d(torch.nn.LPPool2d):
    """torch.nn.LPPool2d over cnnkern: ``(N, C, H, W) -> (N, C, P, Q)``, or both without N.

    Args:
        norm_type: which norm, any number but 0.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        ceil_mode: whether sizes are rounded up.

    Shape:
        Input and output as cnnkern.functional.lp_pool2d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError, ZeroDivisionError: when called, as cnnkern.functional.lp_pool2d.

    Source:
        torch.nn.LPPool2d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.LPPool2d(2, 3, stride=2)(torch.zeros(1, 16, 50, 32)).shape
        torch.Size([1, 16, 24, 15])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Takes the norm of each window."""
        return F.lp_pool2d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool3d(torch.nn.LPPool3d):
    """torch.nn.LPPool3d over cnnkern: ``(N, C, D, H, W) -> (N, C, O, P, Q)``, or both without N.

    Args:
        norm_type: which norm, any number but 0.
        kernel_size: the window, an int or one per axis.
        stride: its step, an int or one per axis; the window's size if None.
        ceil_mode: whether sizes are rounded up.

    Shape:
        Input and output as cnnkern.functional.lp_pool3d, float64, float32, float16 or bfloat16.

    Raises:
        RuntimeError, ZeroDivisionError: when called, as cnnkern.functional.lp_pool3d.

    Source:
        torch.nn.LPPool3d.

    Example:
        >>> import torch, cnnkern
        >>> cnnkern.nn.LPPool3d(1.5, 2)(torch.zeros(1, 4, 6, 6, 6)).shape
        torch.Size([1, 4, 3, 3, 3])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Takes the norm of each window."""
        return F.lp_pool3d(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )
