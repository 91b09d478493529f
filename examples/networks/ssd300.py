# SPDX-License-Identifier: BSD-3-Clause
"""torchvision's SSD300 over VGG-16, without what turns its outputs into boxes."""

from __future__ import annotations

from torch import Tensor, nn

CLASSES = 91


class SSD300(nn.Module):
    """3x300x300, 91 classes; what it leaves out is no layer, and needs compiled operators.

    Args:
        thin: what the filters are divided by.
    """

    def __init__(self, *, thin: int = 1) -> None:
        super().__init__()
        from torchvision.models.detection import ssd, ssd300_vgg16

        whole = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=CLASSES)
        self.backbone, self.head = whole.backbone, whole.head
        if thin > 1:
            self._thin(thin)
            anchors = whole.anchor_generator.num_anchors_per_location()
            channels = [512, 1024, 512, 256, 256, 256]
            self.head = ssd.SSDHead([c // thin for c in channels], anchors, CLASSES)

    def _thin(self, by: int) -> None:
        for module in list(self.backbone.modules()):
            for name, conv in module.named_children():
                if isinstance(conv, nn.Conv2d):
                    inputs = conv.in_channels // by if conv.in_channels > 3 else 3
                    how = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
                    setattr(module, name, nn.Conv2d(inputs, conv.out_channels // by, *how))
        scale = self.backbone.scale_weight.detach()
        self.backbone.scale_weight = nn.Parameter(scale[::by].clone())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        boxes: dict[str, Tensor] = self.head(list(self.backbone(x).values()))
        return boxes
