# SPDX-License-Identifier: BSD-3-Clause
"""The five layers and four networks of soumith/convnet-benchmarks, without dropout and softmax."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from examples.networks import vgg

# (input channels, filters, kernel), and the input's side; a batch of 128, stride 1, no padding.
LAYERS = {
    "L1": (3, 96, 11, 128),
    "L2": (64, 128, 9, 64),
    "L3": (128, 128, 9, 32),
    "L4": (128, 128, 7, 16),
    "L5": (384, 384, 3, 13),
}


def _network(features: Sequence[nn.Module], dense: Sequence[int]) -> nn.Module:
    """Convolutions, each with a ReLU, and pools, numbered in their order; then dense layers."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    counts = {"conv": 0, "pool": 0}
    for layer in features:
        kind = "conv" if isinstance(layer, nn.Conv2d) else "pool"
        counts[kind] += 1
        layers[f"{kind}{counts[kind]}"] = layer
        if kind == "conv":
            layers[f"relu{counts[kind]}"] = nn.ReLU()
    layers["flatten"] = nn.Flatten()
    for i, (inputs, outputs) in enumerate(pairwise(dense), 1):
        layers[f"dense{i}"] = nn.Linear(inputs, outputs)
    return nn.Sequential(layers)


def alexnet() -> nn.Module:
    """3x224x224, in one tower."""
    return _network(
        [
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.MaxPool2d(3, 2),
        ],
        (256 * 6 * 6, 4096, 4096, 1000),
    )


def overfeat() -> nn.Module:
    """3x231x231, the fast one."""
    return _network(
        [
            nn.Conv2d(3, 96, 11, stride=4),
            nn.MaxPool2d(2),
            nn.Conv2d(96, 256, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(256, 512, 3, padding=1),
            nn.Conv2d(512, 1024, 3, padding=1),
            nn.Conv2d(1024, 1024, 3, padding=1),
            nn.MaxPool2d(2),
        ],
        (1024 * 6 * 6, 3072, 4096, 1000),
    )


def vgg_a() -> nn.Module:
    """3x224x224, eleven layers."""
    layers = vgg.vgg("A").children()
    features = [layer for layer in layers if isinstance(layer, (nn.Conv2d, nn.MaxPool2d))]
    return _network(features, (512 * 7 * 7, 4096, 4096, 1000))


class Inception(nn.Module):
    """Four branches side by side.

    Args:
        channels: of the input.
        one: filters of the 1x1 branch.
        three: filters of the 3x3 branch, before and in it.
        five: the same of the 5x5 branch.
        pool: filters after the pool.
    """

    def __init__(
        self, channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, one, 1)
        self.reduce3 = nn.Conv2d(channels, three[0], 1)
        self.conv3 = nn.Conv2d(*three, 3, padding=1)
        self.reduce5 = nn.Conv2d(channels, five[0], 1)
        self.conv5 = nn.Conv2d(*five, 5, padding=2)
        self.pool = nn.MaxPool2d(3, 1, padding=1)
        self.project = nn.Conv2d(channels, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.conv3(self.reduce3(x).relu())
        five = self.conv5(self.reduce5(x).relu())
        return torch.cat((self.conv1(x), three, five, self.project(self.pool(x))), 1).relu()


def googlenet() -> nn.Module:
    """3x224x224, version 1 without its auxiliary heads."""

    def halved() -> nn.Module:
        return nn.MaxPool2d(3, 2, padding=1)

    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 64, 7, stride=2, padding=3),
            relu1=nn.ReLU(),
            pool1=halved(),
            conv2=nn.Conv2d(64, 64, 1),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(64, 192, 3, padding=1),
            relu3=nn.ReLU(),
            pool3=halved(),
            inception3a=Inception(192, 64, (96, 128), (16, 32), 32),
            inception3b=Inception(256, 128, (128, 192), (32, 96), 64),
            pool4=halved(),
            inception4a=Inception(480, 192, (96, 208), (16, 48), 64),
            inception4b=Inception(512, 160, (112, 224), (24, 64), 64),
            inception4c=Inception(512, 128, (128, 256), (24, 64), 64),
            inception4d=Inception(512, 112, (144, 288), (32, 64), 64),
            inception4e=Inception(528, 256, (160, 320), (32, 128), 128),
            pool5=halved(),
            inception5a=Inception(832, 256, (160, 320), (32, 128), 128),
            inception5b=Inception(832, 384, (192, 384), (48, 128), 128),
            pool6=nn.AvgPool2d(7),
            flatten=nn.Flatten(),
            dense=nn.Linear(1024, 1000),
        )
    )
