# SPDX-License-Identifier: BSD-3-Clause
"""LeNet-5 of 1998 and the version that Keras's examples train."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from cnnkern.demo import train


def lenet5() -> nn.Module:
    """1x32x32 to 10; c3 sees all maps and a pool has no weights, so 61,706 parameters."""
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            tanh1=nn.Tanh(),
            s2=nn.AvgPool2d(2),
            c3=nn.Conv2d(6, 16, 5),
            tanh3=nn.Tanh(),
            s4=nn.AvgPool2d(2),
            c5=nn.Conv2d(16, 120, 5),
            tanh5=nn.Tanh(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            tanh6=nn.Tanh(),
            output=nn.Linear(84, 10),
        )
    )


def keras() -> nn.Module:
    """1x28x28 to 10, 44,426 parameters: the demo's, its layers numbered as in the paper."""
    names = {"conv1": "keras1", "pool1": "keras2", "conv2": "keras3", "pool2": "keras4"}
    layers = train.lenet5(nn).named_children()
    return nn.Sequential(OrderedDict((names.get(name, name), layer) for name, layer in layers))
