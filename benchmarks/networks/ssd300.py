# SPDX-License-Identifier: BSD-3-Clause
"""torchvision's SSD300 over VGG-16, without what turns its outputs into boxes."""

from __future__ import annotations

from torch import Tensor, nn


class SSD300(nn.Module):
    """3x300x300, 91 classes; what it leaves out is no layer, and needs compiled operators."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models.detection import ssd300_vgg16

        whole = ssd300_vgg16(weights=None, weights_backbone=None)
        self.backbone, self.head = whole.backbone, whole.head

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        boxes: dict[str, Tensor] = self.head(list(self.backbone(x).values()))
        return boxes
