# SPDX-License-Identifier: BSD-3-Clause
"""What other processes import: data made by the layers themselves, inside the loader's workers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

import cnnkern

COUNT = 6


class Filtered(Dataset[Tensor]):
    """Images that a worker's own convolution and pool made."""

    def __init__(self) -> None:
        torch.manual_seed(2)
        self.layers = torch.nn.Sequential(cnnkern.nn.Conv2d(1, 4, 3), cnnkern.nn.MaxPool2d(2))

    def __len__(self) -> int:
        return COUNT

    @torch.no_grad()
    def __getitem__(self, index: int) -> Tensor:
        image = torch.arange(100, dtype=torch.float32).view(1, 10, 10).add(index).cos()
        result: Tensor = self.layers(image)
        return result
