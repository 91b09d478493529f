# SPDX-License-Identifier: BSD-3-Clause
"""YOLO of 2016: 24 convolutions over a 448x448 image and two dense layers over a 7x7 grid.

J. Redmon, S. Divvala, R. Girshick, A. Farhadi, "You only look once" (2016), figure 3.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

# (filters, kernel) or (filters, kernel, stride); a pool halves the sides.
LAYERS: tuple[tuple[int, ...] | str, ...] = (
    *((64, 7, 2), "pool"),
    *((192, 3), "pool"),
    *((128, 1), (256, 3), (256, 1), (512, 3), "pool"),
    *((256, 1), (512, 3)) * 4,
    *((512, 1), (1024, 3), "pool"),
    *((512, 1), (1024, 3)) * 2,
    *((1024, 3), (1024, 3, 2), (1024, 3), (1024, 3)),
)


def yolo_v1(*, thin: int = 1, side: int = 7, dense: int = 4096) -> nn.Module:
    """3x448x448 to 7x7x30; 60,155,968 parameters in the convolutions.

    Args:
        thin: what the filters are divided by.
        side: of the grid: the image's by 64.
        dense: outputs of the hidden dense layer.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = convs = pools = 0
    for layer in LAYERS:
        if isinstance(layer, str):
            pools += 1
            layers[f"p{pools}"] = nn.MaxPool2d(2)
            continue
        convs += 1
        filters, kernel, *stride = layer
        layers[f"c{convs}"] = nn.Conv2d(
            channels or 3, filters // thin, kernel, *stride, padding=kernel // 2
        )
        layers[f"leaky{convs}"] = nn.LeakyReLU(0.1, inplace=True)
        channels = filters // thin
    layers["flatten"] = nn.Flatten()
    layers["dense25"] = nn.Linear(channels * side * side, dense)
    layers["leaky25"] = nn.LeakyReLU(0.1, inplace=True)
    layers["dense26"] = nn.Linear(dense, side * side * 30)
    layers["output"] = nn.Unflatten(1, (side, side, 30))
    return nn.Sequential(layers)
