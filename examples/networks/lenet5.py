# SPDX-License-Identifier: BSD-3-Clause
"""LeNet-5 as its paper has it, with plain layers, and the version that Keras's examples train.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition" (1998), section II.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cnnkern.demo import train

# Which of the six maps each of c3's sixteen filters sees: table I of the paper.
LINKS = (
    *("012", "123", "234", "345", "045", "015"),
    *("0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235"),
    "012345",
)

# Segments of a digital clock's digits: top, both upper sides, middle, both lower sides, bottom.
DIGITS = ("abcefg", "cf", "acdeg", "acdfg", "bcdf", "abdfg", "abdefg", "acf", "abcdefg", "abcdfg")


def paper() -> nn.Module:
    """1x32x32 to 10, exactly 60,000 parameters; a class's output is a distance: small is likely."""
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            tanh1=Squash(),
            s2=Subsample(6),
            tanh2=Squash(),
            c3=linked(nn.Conv2d(6, 16, 5)),
            tanh3=Squash(),
            s4=Subsample(16),
            tanh4=Squash(),
            c5=nn.Conv2d(16, 120, 5),
            tanh5=Squash(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            tanh6=Squash(),
            output=Distances(),
        )
    )


def lenet5() -> nn.Module:
    """1x32x32 to 10; c3 sees all maps and a pool has no weights, so 61,706 parameters."""
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            tanh1=nn.Tanh(),
            s2=nn.AvgPool2d(2),
            c3=nn.Conv2d(6, 16, 5),
            tanh3=nn.Tanh(),
            s4=nn.AvgPool2d(2),
            c5=nn.Conv2d(16, 120, 5),
            tanh5=nn.Tanh(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            tanh6=nn.Tanh(),
            output=nn.Linear(84, 10),
        )
    )


def keras() -> nn.Module:
    """1x28x28 to 10, 44,426 parameters: the demo's, its layers numbered as in the paper."""
    names = {"conv1": "keras1", "pool1": "keras2", "conv2": "keras3", "pool2": "keras4"}
    layers = train.lenet5(nn).named_children()
    return nn.Sequential(OrderedDict((names.get(name, name), layer) for name, layer in layers))


class Squash(nn.Module):
    """The hyperbolic tangent that takes 1 to 1 and -1 to -1."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * (2 / 3 * x).tanh()


class Subsample(nn.Module):
    """The mean of 2x2, times a trained number of its map, plus another."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.scale = nn.Parameter(torch.ones(maps, 1, 1))
        self.shift = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x) * self.scale + self.shift


class Links(nn.Module):
    """A weight that exists only where a filter sees a map: (60, 5, 5) for (16, 6, 5, 5)."""

    filters: Tensor
    maps: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(k, int(c)) for k, seen in enumerate(LINKS) for c in seen]
        for name, index in zip(("filters", "maps"), zip(*pairs, strict=True), strict=True):
            self.register_buffer(name, torch.tensor(index), persistent=False)

    def forward(self, links: Tensor) -> Tensor:
        weight = links.new_zeros(len(LINKS), 6, *links.shape[1:])
        return weight.index_put((self.filters, self.maps), links)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight[self.filters, self.maps]


def linked(c3: nn.Conv2d) -> nn.Conv2d:
    """The convolution with the paper's 60 links of 96: 1,516 parameters."""
    parametrize.register_parametrization(c3, "weight", Links())
    return c3


class Distances(nn.Module):
    """Squared distances from the ten digits as pictures of 7x12, drawn like a clock's."""

    codes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.stack([drawn(digit) for digit in DIGITS]).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(1) - self.codes).square().sum(2)


def drawn(segments: str) -> Tensor:
    """12 rows of 7 pixels: 1 on a segment, -1 elsewhere."""
    picture = torch.full((12, 7), -1.0)
    strokes = {
        "a": (slice(0, 2), slice(0, 7)),
        "b": (slice(0, 6), slice(0, 2)),
        "c": (slice(0, 6), slice(5, 7)),
        "d": (slice(5, 7), slice(0, 7)),
        "e": (slice(6, 12), slice(0, 2)),
        "f": (slice(6, 12), slice(5, 7)),
        "g": (slice(10, 12), slice(0, 7)),
    }
    for segment in segments:
        picture[strokes[segment]] = 1.0
    return picture
