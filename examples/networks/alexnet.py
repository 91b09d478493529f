# SPDX-License-Identifier: BSD-3-Clause
"""AlexNet of 2012, whole or in the two groups of its paper, and what Zeiler and Fergus made of it.

A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
networks" (2012); M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks"
(2014).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def alexnet(groups: int = 1, *, side: int = 6, dense: int = 4096) -> nn.Module:
    """3x227x227 to 1000: 62,378,344 parameters, or 60,965,224 in two groups.

    The layers that have groups are called conv2g, conv4g and conv5g then. The smallest image is one
    of 67x67, with ``side=1``.
    """
    g = "" if groups == 1 else "g"
    return nn.Sequential(
        OrderedDict(
            [
                ("conv1", nn.Conv2d(3, 96, 11, stride=4)),
                ("relu1", nn.ReLU()),
                ("norm1", _norm()),
                ("pool1", nn.MaxPool2d(3, 2)),
                (f"conv2{g}", nn.Conv2d(96, 256, 5, padding=2, groups=groups)),
                ("relu2", nn.ReLU()),
                ("norm2", _norm()),
                ("pool2", nn.MaxPool2d(3, 2)),
                ("conv3", nn.Conv2d(256, 384, 3, padding=1)),
                ("relu3", nn.ReLU()),
                (f"conv4{g}", nn.Conv2d(384, 384, 3, padding=1, groups=groups)),
                ("relu4", nn.ReLU()),
                (f"conv5{g}", nn.Conv2d(384, 256, 3, padding=1, groups=groups)),
                ("relu5", nn.ReLU()),
                ("pool3", nn.MaxPool2d(3, 2)),
                *_dense(side, dense),
            ]
        )
    )


def zeiler_fergus(*, side: int = 6, dense: int = 4096) -> nn.Module:
    """3x224x224 to 1000, 62,357,608 parameters: first filters of 7x7 in steps of 2.

    Pools round up, which gives the paper's maps of 110, 55, 26, 13 and 6. The smallest image is one
    of 47x47, with ``side=1``.
    """
    return nn.Sequential(
        OrderedDict(
            [
                ("conv1", nn.Conv2d(3, 96, 7, stride=2, padding=1)),
                ("relu1", nn.ReLU()),
                ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
                ("norm1", _norm()),
                ("conv2", nn.Conv2d(96, 256, 5, stride=2)),
                ("relu2", nn.ReLU()),
                ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
                ("norm2", _norm()),
                ("conv3", nn.Conv2d(256, 384, 3, padding=1)),
                ("relu3", nn.ReLU()),
                ("conv4", nn.Conv2d(384, 384, 3, padding=1)),
                ("relu4", nn.ReLU()),
                ("conv5", nn.Conv2d(384, 256, 3, padding=1)),
                ("relu5", nn.ReLU()),
                ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
                *_dense(side, dense),
            ]
        )
    )


def _norm() -> nn.Module:
    return nn.LocalResponseNorm(5, 1e-4, 0.75, 2)


def _dense(side: int, dense: int) -> list[tuple[str, nn.Module]]:
    return [
        ("flatten", nn.Flatten()),
        ("dense6", nn.Linear(256 * side * side, dense)),
        ("relu6", nn.ReLU()),
        ("dense7", nn.Linear(dense, dense)),
        ("relu7", nn.ReLU()),
        ("output", nn.Linear(dense, 1000)),
    ]
