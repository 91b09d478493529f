# SPDX-License-Identifier: BSD-3-Clause
"""The networks by name, at their full size and at one that a test can bear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import alexnet, audio, keras_mnist, lenet5, packages, pictures, vgg, yolo_v1

Build = Callable[[], nn.Module]
Region = tuple[float, float, float, float]


class Small(NamedTuple):
    """The same architecture for smaller images, and how it is thinner, if it is."""

    build: Build
    size: tuple[int, ...]
    thinner: str = ""


@dataclass(frozen=True)
class Network:
    """A network with random weights and the input that it takes.

    Attributes:
        name: as the command line has it.
        build: makes it, in training mode.
        size: of its input, without the batch.
        parameters: how many numbers it learns.
        small: itself where it is small enough.
        regions: what Faster R-CNN takes beside images: (x0, y0, x1, y1), as shares of the sides.
    """

    name: str
    build: Build
    size: tuple[int, ...]
    parameters: int
    smaller: Small | None = None
    regions: tuple[Region, ...] = ()

    @property
    def small(self) -> Small:
        return self.smaller or Small(self.build, self.size)

    def inputs(self, size: tuple[int, ...], batch: int, seed: int = 0) -> list[Tensor]:
        """Random images of that size, float32, and what else the network is called with."""
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(batch, *size, generator=generator)
        if not self.regions:
            return [images]
        height, width = (side - 1 for side in size[1:])
        corners = torch.tensor(self.regions) * torch.tensor([width, height, width, height])
        of_image = [
            torch.cat([torch.full((len(corners), 1), float(i)), corners.round()], 1)
            for i in range(batch)
        ]
        return [images, torch.cat(of_image)]


def _of_torchvision(
    name: str, size: tuple[int, ...], parameters: int, smaller: tuple[int, ...]
) -> Network:
    build = partial(packages.torchvision, name)
    return Network(name, build, size, parameters, Small(build, smaller))


def _vgg(name: str, parameters: int, thin: int = 4, norm: bool = False) -> Network:
    build = partial(vgg.vgg, name[4].upper(), norm=norm)
    thinner = "64 units in the dense layers"
    if thin > 1:
        thinner += f", 1/{thin} of the filters"
    small = Small(partial(build, thin=thin, side=1, dense=64), (3, 32, 32), thinner)
    return Network(name, build, (3, 224, 224), parameters, small)


def _alexnet(name: str, groups: int, parameters: int) -> Network:
    build = partial(alexnet.alexnet, groups)
    small = Small(partial(build, side=1, dense=64), (3, 67, 67), "64 units in the dense layers")
    return Network(name, build, (3, 227, 227), parameters, small)


NETWORKS = {
    network.name: network
    for network in (
        Network("lenet5", lenet5.paper, (1, 32, 32), 60_000),
        Network("lenet5_plain", lenet5.lenet5, (1, 32, 32), 61_706),
        Network("lenet5_keras", lenet5.keras, (1, 28, 28), 44_426),
        Network("keras_mnist", keras_mnist.with_pools, (1, 28, 28), 93_322),
        Network("keras_mnist_no_pools", keras_mnist.without_pools, (1, 28, 28), 55_744),
        _alexnet("alexnet", 1, 62_378_344),
        _alexnet("alexnet_groups", 2, 60_965_224),
        Network(
            "zeiler_fergus",
            alexnet.zeiler_fergus,
            (3, 224, 224),
            62_357_608,
            Small(
                partial(alexnet.zeiler_fergus, side=1, dense=64),
                (3, 47, 47),
                "64 units in the dense layers",
            ),
        ),
        _vgg("vgg_a", 132_863_336),
        _vgg("vgg_a_lrn", 132_863_336, norm=True),
        _vgg("vgg_b", 133_047_848),
        _vgg("vgg_c", 133_638_952),
        _vgg("vgg_d", 138_357_544, thin=1),
        _vgg("vgg_e", 143_667_240),
        _of_torchvision("googlenet", (3, 224, 224), 13_004_888, (3, 64, 64)),
        _of_torchvision("inception_v3", (3, 299, 299), 27_161_264, (3, 75, 75)),
        _of_torchvision("resnet50", (3, 224, 224), 25_557_032, (3, 48, 48)),
        Network(
            "resnet152",
            partial(packages.torchvision, "resnet152"),
            (3, 224, 224),
            60_192_808,
            Small(packages.thin_resnet152, (3, 64, 64), "1/8 of the filters inside blocks"),
        ),
        Network(
            "se_resnet152",
            packages.se_resnet152,
            (3, 224, 224),
            66_821_848,
            Small(partial(packages.se_resnet152, thin=8), (3, 224, 224), "1/8 of the filters"),
        ),
        _of_torchvision("densenet121", (3, 224, 224), 7_978_856, (3, 64, 64)),
        _of_torchvision("mobilenet_v2", (3, 224, 224), 3_504_872, (3, 64, 64)),
        Network(
            "yolo_v1",
            yolo_v1.yolo_v1,
            (3, 448, 448),
            271_703_550,
            Small(
                partial(yolo_v1.yolo_v1, thin=4, side=1, dense=64),
                (3, 64, 64),
                "64 units in the dense layer, 1/4 of the filters",
            ),
        ),
        Network(
            "ssd300",
            packages.ssd300,
            (3, 300, 300),
            35_641_826,
            Small(partial(packages.ssd300, thin=16), (3, 300, 300), "1/16 of the filters"),
        ),
        Network(
            "faster_rcnn",
            vgg.FasterRCNN,
            (3, 600, 1000),
            17_102_198,
            Small(partial(vgg.FasterRCNN, thin=4), (3, 160, 208), "1/4 of the filters"),
            ((0, 0, 1, 1), (0.1, 0.2, 0.7, 0.9), (0.3, 0, 0.6, 0.5), (0.4, 0.5, 1, 1)),
        ),
        _of_torchvision("r3d_18", (3, 16, 112, 112), 33_371_472, (3, 4, 16, 16)),
        Network("audio", audio.Audio, (128, 599), 8_607_016),
        Network("encoder_decoder", pictures.EncoderDecoder, (1, 64, 64), 56_740),
        Network("facial_keypoints", pictures.facial_keypoints, (1, 96, 96), 8_051_502),
    )
}
