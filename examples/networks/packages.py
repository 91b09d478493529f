# SPDX-License-Identifier: BSD-3-Clause
"""Networks that torchvision and pytorchcv ship, with random weights: nothing is downloaded."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import torch
from torch import nn

from cnnkern.benchmark.models import load_model

from .ssd300 import SSD300


def torchvision(name: str) -> nn.Module:
    """One of torchvision's classification or video networks, with the heads that training adds."""
    # Their own initialisation of these two takes many seconds.
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = _models().get_model(name, weights=None, **options)
    return model


def thin_resnet152() -> nn.Module:
    """torchvision's ResNet-152 with an eighth of the filters inside the blocks."""
    models = _models()
    model: nn.Module = models.ResNet(
        models.resnet.Bottleneck, [3, 8, 36, 3], width_per_group=8, num_classes=10
    )
    return model


def se_resnet152(*, thin: int = 1) -> nn.Module:
    """pytorchcv's SE-ResNet-152, its filters divided by ``thin``."""
    from pytorchcv.models.seresnet import SEResNet

    units = {256: 3, 512: 8, 1024: 36, 2048: 3}
    channels = [[filters // thin] * count for filters, count in units.items()]
    model: nn.Module = SEResNet(channels, 64 // thin, bottleneck=True, conv1_stride=True)
    return model


def ssd300(*, thin: int = 1) -> nn.Module:
    """torchvision's SSD300, its filters divided by ``thin``."""
    _models()
    return SSD300(thin=thin)


@cache
def _models() -> ModuleType:
    with torch.device("meta"):  # imports torchvision also where its operators do not load
        load_model("torchvision:alexnet", (1, 3, 64, 64))
    from torchvision import models

    return models
