# SPDX-License-Identifier: BSD-3-Clause
"""One small network with every kind of layer, of torch's."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

INPUT = (2, 12, 12)
CLASSES = 10


def network(seed: int = 3) -> nn.Sequential:
    """Layers to convert: dense, grouped, depthwise, transposed, both pools, norm, linear."""
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(2, 8, 3, padding=1),
            norm=nn.BatchNorm2d(8),
            relu=nn.ReLU(),
            max_pool=nn.MaxPool2d(2),
            grouped=nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
            depthwise=nn.Conv2d(8, 16, 3, padding=1, groups=8),
            relu2=nn.ReLU(),
            transposed=nn.ConvTranspose2d(16, 4, 2, stride=2),
            avg_pool=nn.AvgPool2d(2),
            flatten=nn.Flatten(),
            linear=nn.Linear(4 * 6 * 6, CLASSES),
        )
    )


def batch(count: int = 4, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Images and their labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, *INPUT, generator=generator)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def gradients(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What one backward pass gives each parameter."""
    model.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
