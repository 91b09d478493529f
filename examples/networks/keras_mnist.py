# SPDX-License-Identifier: BSD-3-Clause
"""The first convolutional network of "Deep Learning with Python", and it without its pools."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def with_pools() -> nn.Module:
    """1x28x28 to 10."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 64, 3),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            dense4=nn.Linear(64 * 3 * 3, 64),
            relu4=nn.ReLU(),
            output=nn.Linear(64, 10),
        )
    )


def without_pools() -> nn.Module:
    """1x28x28 to 64x22x22."""
    return nn.Sequential(
        OrderedDict(
            nopool1=nn.Conv2d(1, 32, 3), nopool2=nn.Conv2d(32, 64, 3), nopool3=nn.Conv2d(64, 64, 3)
        )
    )
