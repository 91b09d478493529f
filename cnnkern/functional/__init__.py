# SPDX-License-Identifier: BSD-3-Clause
"""torch.nn.functional's convolution and pooling, with its arguments and some more.

What torch accepts gives torch's result. Beyond it: paddings before and after each axis apart,
"same" with any stride (pools too), a fused ReLU, and algorithms by name.
"""

from __future__ import annotations

import torch

from .adaptive_avg_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .adaptive_max_pool import (
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
)
from .avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from .conv import conv1d, conv2d, conv3d
from .conv_block import conv_block2d
from .conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from .lp_pool import lp_pool1d, lp_pool2d, lp_pool3d
from .max_pool import max_pool1d, max_pool2d, max_pool3d
from .max_unpool import max_unpool1d, max_unpool2d, max_unpool3d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_block2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

# torch.fx keeps each call as one node instead of tracing through argument handling that branches.
for _name in __all__:
    torch.fx.wrap(_name)
