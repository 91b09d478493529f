# SPDX-License-Identifier: BSD-3-Clause
"""What in a digit made a unit answer: the way back through the network, by Zeiler and Fergus.

For the nine patches that most excite a unit, its strongest answer alone goes back to the pixels:
each max pool is undone at the places where its maxima stood (the switches), each convolution by the
transposed one with the same weights, each with a ReLU before it.

Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from _common import (
    UsageError,
    accuracy,
    console,
    digits,
    figure,
    launch,
    make_parser,
    positive,
    print_table,
    save,
    sheet,
    train,
)
from filters_and_feature_maps import make_network
from top_patches import TOP, Patches, exciting, top_patches
from torch import Tensor, nn

from cnnkern import functional as F

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = 4  # drawn for each layer


@dataclass(frozen=True)
class Switches:
    """Where the maxima of a max pool stood, in inputs of which size."""

    indices: Tensor
    size: torch.Size


def forward(layers: nn.Sequential, images: Tensor) -> tuple[Tensor, list[Switches]]:
    """Runs convolutions and max pools and keeps the switches of the pools."""
    switches = []
    x = images
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            size = x.shape
            x, indices = F.max_pool2d(x, layer.kernel_size, layer.stride, return_indices=True)
            switches.append(Switches(indices, size))
        else:
            x = layer(x)
    return x, switches


def backward(layers: nn.Sequential, maps: Tensor, switches: Sequence[Switches]) -> Tensor:
    """Takes feature maps back to the pixels by the same weights and switches."""
    left = list(switches)
    x = maps
    for layer in reversed(layers):
        if isinstance(layer, nn.MaxPool2d):
            one = left.pop()
            x = F.max_unpool2d(
                x, one.indices, layer.kernel_size, layer.stride, output_size=one.size
            )
        elif isinstance(layer, nn.Conv2d):
            x = F.conv_transpose2d(
                x.relu(), layer.weight, None, layer.stride, layer.padding, 0, layer.groups,
                layer.dilation,
            )  # fmt: skip
    return x


def strongest_alone(maps: Tensor, unit: int) -> Tensor:
    """Returns maps ``(N, K, H, W)``, zero but for the unit's largest answer to each image."""
    value, place = F.max_pool2d(maps[:, [unit]], maps.shape[2:], return_indices=True)
    alone = torch.zeros_like(maps)
    alone[:, [unit]] = F.max_unpool2d(
        value, place, tuple(maps.shape[2:]), output_size=maps[:, [unit]].shape
    )
    return alone


@torch.no_grad()
def reconstruct(network: nn.Sequential, name: str, images: Tensor, unit: int) -> Tensor:
    """Returns what in each image made one unit answer: ``(N, 1, H, W)``.

    Args:
        network: convolutions and max pools up to the layer.
        name: of the unit's layer.
        images: ``(N, 1, H, W)``.
        unit: which.
    """
    names = [child for child, _ in network.named_children()]
    layers = network[: names.index(name) + 1]
    maps, switches = forward(layers, images)
    return backward(layers, strongest_alone(maps, unit), switches)


def crop_to(patches: Patches, unit: int, pictures: Tensor) -> Tensor:
    """Cuts the pictures ``(9, 1, H, W)`` where the unit's nine patches were cut."""
    size = patches.field.size
    corners = patches.corner[unit].tolist()
    return torch.stack(
        [
            picture[0, top : top + size, left : left + size]
            for picture, (top, left) in zip(pictures, corners, strict=True)
        ]
    )


def draw(rows: Sequence[Sequence[tuple[str, Tensor, Tensor]]]) -> Figure:
    """Draws for each unit its nine patches and, beside them, what was read back from it."""
    canvas = figure(4.1 * UNITS, 2.3 * len(rows))
    places = canvas.subplots(len(rows), 2 * UNITS, squeeze=False)
    for line, units in zip(places, rows, strict=True):
        for index, (title, patches, back) in enumerate(units):
            sheet(line[2 * index], patches, 3, title, cmap="gray_r", vmin=0, vmax=1)
            limit = back.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)
            sheet(line[2 * index + 1], back / limit, 3, "read back", cmap="RdBu_r", vmin=-1, vmax=1)
        for place in line[2 * len(units) :]:
            place.set_axis_off()
    return canvas


def run(options: argparse.Namespace) -> None:
    """Trains, goes the way back for units of three layers, prints how it fits and draws."""
    if options.train_digits < TOP:
        raise UsageError(
            f"--train-digits: expected at least {TOP}, one for each patch, "
            f"got {options.train_digits}"
        )
    data = digits()
    images, labels = (
        part[: options.train_digits] for part in (data.train_images, data.train_labels)
    )
    network = make_network()
    train(network, images, labels, epochs=options.epochs, seed=options.seed)
    console().print(
        f"{accuracy(network, data.test_images, data.test_labels):.1%} of 1,000 test digits right"
    )
    drawn, rows = [], []
    for name in ("conv_1", "conv_2", "conv_3"):
        patches = top_patches(network, name, images)
        line = []
        for unit in exciting(patches)[:UNITS]:
            back = reconstruct(network, name, images[patches.origin[unit]], unit)
            inside = crop_to(patches, unit, back)
            line.append((f"{name}, unit {unit}", patches.pixels[unit], inside))
            total, kept = (part.square().sum().item() for part in (back, inside))
            ink = patches.pixels[unit] > 0.5
            positive_part = inside.clamp(min=0)
            rows.append(
                (
                    name,
                    unit,
                    f"{patches.strength[unit, 0].item():.2f}",
                    f"{kept / total:.0%}" if total else "",
                    f"{(positive_part[ink].sum() / positive_part.sum()).item():.0%}",
                    f"{ink.float().mean().item():.0%}",
                )
            )
        drawn.append(line)
    print_table(
        ("layer", "unit", "strongest", "read back inside its field", "positive part on ink",
         "ink in the patches"), rows,
    )  # fmt: skip
    save(lambda: draw(drawn), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "deconvnet.png")
    parser.add_argument("--epochs", type=positive, default=5, help="(%(default)s)")
    parser.add_argument(
        "--train-digits", type=positive, default=4000, help="of at most 4000 (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
