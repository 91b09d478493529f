# SPDX-License-Identifier: BSD-3-Clause
"""torch.nn's convolution and pooling layers over cnnkern's operators.

Each is a subclass of its namesake in torch.nn: the same arguments, initialisation, state_dict keys
and repr, and ``isinstance`` holds. Beyond it: what cnnkern.functional offers beyond torch.
"""

from .adaptive_pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from .conv import Conv1d, Conv2d, Conv3d
from .conv_block import ConvBlock2d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvBlock2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]
