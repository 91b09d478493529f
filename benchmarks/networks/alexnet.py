# SPDX-License-Identifier: BSD-3-Clause
"""AlexNet of 2012, whole or in the two groups of its paper."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def alexnet(groups: int = 1) -> nn.Module:
    """3x227x227 to 1000: 62,378,344 parameters, or 60,965,224 in two groups.

    The layers that have groups are called conv2g, conv4g and conv5g then.
    """
    g = "" if groups == 1 else "g"
    norm = [nn.LocalResponseNorm(5, 1e-4, 0.75, 2) for _ in range(2)]
    return nn.Sequential(
        OrderedDict(
            [
                ("conv1", nn.Conv2d(3, 96, 11, stride=4)),
                ("relu1", nn.ReLU()),
                ("norm1", norm[0]),
                ("pool1", nn.MaxPool2d(3, 2)),
                (f"conv2{g}", nn.Conv2d(96, 256, 5, padding=2, groups=groups)),
                ("relu2", nn.ReLU()),
                ("norm2", norm[1]),
                ("pool2", nn.MaxPool2d(3, 2)),
                ("conv3", nn.Conv2d(256, 384, 3, padding=1)),
                ("relu3", nn.ReLU()),
                (f"conv4{g}", nn.Conv2d(384, 384, 3, padding=1, groups=groups)),
                ("relu4", nn.ReLU()),
                (f"conv5{g}", nn.Conv2d(384, 256, 3, padding=1, groups=groups)),
                ("relu5", nn.ReLU()),
                ("pool3", nn.MaxPool2d(3, 2)),
                ("flatten", nn.Flatten()),
                ("dense6", nn.Linear(9216, 4096)),
                ("relu6", nn.ReLU()),
                ("dense7", nn.Linear(4096, 4096)),
                ("relu7", nn.ReLU()),
                ("output", nn.Linear(4096, 1000)),
            ]
        )
    )
