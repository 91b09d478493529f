# SPDX-License-Identifier: BSD-3-Clause
"""A network over the mel spectrogram of a song, which convolves along time only.

After S. Dieleman, "Recommending music on Spotify with deep learning" (2014). The article writes out
the first layer's filters; those of the others, which stand in its picture, are taken as 256, 256
and 512.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Audio(nn.Module):
    """128 bins over 599 frames to 40 factors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(128, 256, 4)
        self.pool1 = nn.MaxPool1d(4)
        self.conv2 = nn.Conv1d(256, 256, 4)
        self.pool2 = nn.MaxPool1d(2)
        self.conv3 = nn.Conv1d(256, 256, 4)
        self.pool3 = nn.MaxPool1d(2)
        self.conv4 = nn.Conv1d(256, 512, 4)
        self.dense = nn.Sequential(
            nn.Linear(3 * 512, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU()
        )
        self.output = nn.Linear(2048, 40)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.conv1(x).relu())
        x = self.pool2(self.conv2(x).relu())
        x = self.pool3(self.conv3(x).relu())
        x = self.conv4(x).relu()
        root_mean_square = torch.linalg.vector_norm(x, dim=2) / math.sqrt(x.shape[2])
        over_time = (x.mean(2), x.amax(2), root_mean_square)
        y: Tensor = self.output(self.dense(torch.cat(over_time, 1)))
        return y
