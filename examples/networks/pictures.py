# SPDX-License-Identifier: BSD-3-Clause
"""Small networks of which more than a class comes out: a map of classes, points of a face."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class EncoderDecoder(nn.Module):
    """Down twice and up again, each level with what was there on the way down.

    1x64x64 (any sides that 4 divides) to a score of each class for each pixel.
    """

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(64, 32, 2, stride=2)
        self.join2 = nn.Conv2d(64, 32, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.join1 = nn.Conv2d(32, 16, 3, padding=1)
        self.classes = nn.Conv2d(16, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.conv1(x).relu()
        middle = self.conv2(self.pool(fine)).relu()
        coarse = self.conv3(self.pool(middle)).relu()
        middle = self.join2(torch.cat((self.up2(coarse), middle), 1)).relu()
        fine = self.join1(torch.cat((self.up1(middle), fine), 1)).relu()
        y: Tensor = self.classes(fine)
        return y


def facial_keypoints() -> nn.Module:
    """1x96x96 to the two coordinates of 15 points, 8,051,502 parameters; kernels of 2x2.

    After D. Nouri, "Using convolutional neural nets to detect facial keypoints" (2014).
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 128, 2),
            relu3=nn.ReLU(),
            pool3=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            dense4=nn.Linear(128 * 11 * 11, 500),
            relu4=nn.ReLU(),
            dense5=nn.Linear(500, 500),
            relu5=nn.ReLU(),
            output=nn.Linear(500, 30),
        )
    )
