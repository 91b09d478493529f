# SPDX-License-Identifier: BSD-3-Clause
"""The five VGG networks, and Faster R-CNN over the trunk of the fourth.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition"
(2015), table 1; S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN" (2016).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Filters by block, each block with a pool after it; "1x1" where the kernel is no 3x3.
BLOCKS: dict[str, tuple[tuple[int | str, ...], ...]] = {
    "A": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "B": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "C": ((64, 64), (128, 128), (256, 256, "1x1"), (512, 512, "1x1"), (512, 512, "1x1")),
    "D": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    "E": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
STRIDE = 16  # of the trunk: the fifth pool is not in it


def vgg(
    letter: str, *, norm: bool = False, thin: int = 1, side: int = 7, dense: int = 4096
) -> nn.Module:
    """3x224x224 to 1000. Parameters: A 132,863,336, B 133,047,848, C 133,638,952, D 138,357,544 and
    E 143,667,240.

    Args:
        letter: A to E, the column of the table.
        norm: with a local response normalisation after the first convolution (A-LRN).
        thin: what the filters are divided by.
        side: of the last maps: the image's by 32.
        dense: outputs of the two hidden dense layers.
    """
    layers = _features(letter, norm, thin)
    return nn.Sequential(
        layers
        | OrderedDict(
            flatten=nn.Flatten(),
            dense6=nn.Linear(512 // thin * side * side, dense),
            relu6=nn.ReLU(),
            dense7=nn.Linear(dense, dense),
            relu7=nn.ReLU(),
            output=nn.Linear(dense, 1000),
        )
    )


def _features(letter: str, norm: bool, thin: int) -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for b, block in enumerate(BLOCKS[letter], 1):
        for i, filters in enumerate(block, 1):
            kernel = 1 if filters == "1x1" else 3
            outputs = channels if isinstance(filters, str) else filters // thin
            layers[f"conv{b}_{i}"] = nn.Conv2d(channels, outputs, kernel, padding=kernel // 2)
            layers[f"relu{b}_{i}"] = nn.ReLU()
            if norm and (b, i) == (1, 1):
                layers["norm"] = nn.LocalResponseNorm(5, 1e-4, 0.75, 2)
            channels = outputs
        layers[f"pool{b}"] = nn.MaxPool2d(2)
    return layers


class Detected(NamedTuple):
    """Scores and boxes by anchor, (N, 18, P, Q) and (N, 36, P, Q), and regions (R, 512, 7, 7)."""

    scores: Tensor
    boxes: Tensor
    regions: Tensor


class FasterRCNN(nn.Module):
    """The convolutional half of Faster R-CNN: trunk, region proposals, pooling of regions.

    What makes regions of the scores and boxes is no layer; the regions are an input.

    Args:
        thin: what the filters of trunk and proposals are divided by.
    """

    def __init__(self, *, thin: int = 1) -> None:
        super().__init__()
        self.trunk = nn.Sequential(_features("D", False, thin))
        del self.trunk.pool5
        self.rpn = nn.Conv2d(512 // thin, 512 // thin, 3, padding=1)
        self.scores = nn.Conv2d(512 // thin, 2 * 9, 1)
        self.boxes = nn.Conv2d(512 // thin, 4 * 9, 1)
        self.pool = nn.AdaptiveMaxPool2d(7)

    def forward(self, images: Tensor, regions: Tensor) -> Detected:
        """The images (N, 3, H, W) and rows (image, x0, y0, x1, y1) of pixels, both ends inside."""
        maps = self.trunk(images)
        hidden = self.rpn(maps).relu()
        pooled = [self.pool(crop) for crop in self._crops(maps, regions)]
        return Detected(self.scores(hidden), self.boxes(hidden), torch.stack(pooled))

    @staticmethod
    def _crops(maps: Tensor, regions: Tensor) -> list[Tensor]:
        crops = []
        for image, *corners in regions.tolist():
            x0, y0, x1, y1 = (round(corner / STRIDE) for corner in corners)
            crops.append(maps[int(image), :, y0 : y1 + 1, x0 : x1 + 1])
        return crops
