# SPDX-License-Identifier: BSD-3-Clause
"""The nine patches of real digits that most excite a unit, for units of three layers.

Trains a small network, runs 4,000 digits through it, and takes each unit's strongest answer and
where it stands by a global max pool with indices. The receptive field at that place is the patch:
5 pixels wide behind the first convolution, 20 behind the third.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from _common import (
    Field,
    UsageError,
    accuracy,
    console,
    digits,
    fields,
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
from torch import Tensor, nn

from cnnkern import functional as F

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 9
UNITS = 6  # drawn for each layer


@dataclass(frozen=True)
class Patches:
    """What excites the units of one layer: ``strength`` ``(units, 9)``, largest first, and
    ``pixels`` ``(units, 9, size, size)``, cut from the digits ``origin`` ``(units, 9)`` at
    ``corner`` ``(units, 9, 2)``: top, left."""

    layer: str
    field: Field
    strength: Tensor
    pixels: Tensor
    origin: Tensor
    corner: Tensor


@torch.no_grad()
def maxima(layers: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, int]:
    """Returns each unit's largest answer to each image, its place in the flattened map, and the
    map's width: ``(images, units)`` twice."""
    values, places, width = [], [], 0
    for some in images.split(500):
        maps = layers(some)
        width = maps.shape[3]
        value, place = F.max_pool2d(maps, maps.shape[2:], return_indices=True)
        values.append(value.flatten(1))
        places.append(place.flatten(1))
    return torch.cat(values), torch.cat(places), width


def top_patches(network: nn.Sequential, name: str, images: Tensor) -> Patches:
    """Finds the patches that most excite the units of one layer.

    Args:
        network: whose layers up to ``name`` are run.
        name: the layer.
        images: ``(N, 1, H, W)``.
    """
    names = [child for child, _ in network.named_children()]
    layers = network[: names.index(name) + 1]
    field = fields(layers)[-1]
    values, places, width = maxima(layers, images)
    strength, origin = values.topk(TOP, dim=0)  # (9, units)
    pixels, corners = [], []
    for images_of_unit, places_of_unit in zip(origin.T, places.gather(0, origin).T, strict=True):
        for image, place in zip(images_of_unit.tolist(), places_of_unit.tolist(), strict=True):
            top, left = (field.start(position) for position in divmod(place, width))
            corners.append((top, left))
            pixels.append(images[image, 0, top : top + field.size, left : left + field.size])
    cut, corner = (t.unflatten(0, (-1, TOP)) for t in (torch.stack(pixels), torch.tensor(corners)))
    return Patches(name, field, strength.T, cut, origin.T, corner)


def exciting(patches: Patches) -> list[int]:
    """Returns the units to draw: those of the strongest ninth answer."""
    ninth = patches.strength[:, -1]
    found: list[int] = ninth.topk(min(UNITS, len(ninth))).indices.tolist()
    return found


def draw(layers: Sequence[Patches]) -> Figure:
    """Draws nine patches for each of some units, a row a layer."""
    canvas = figure(2.1 * UNITS, 2.35 * len(layers))
    places = canvas.subplots(len(layers), UNITS, squeeze=False)
    for row, patches in zip(places, layers, strict=True):
        for place in row:
            place.set_axis_off()
        for place, unit in zip(row, exciting(patches), strict=False):
            size = f"{patches.field.size} × {patches.field.size}"
            sheet(place, patches.pixels[unit], 3, f"{patches.layer}, unit {unit}: {size}",
                  cmap="gray_r", vmin=0, vmax=1)  # fmt: skip
    return canvas


def run(options: argparse.Namespace) -> None:
    """Trains, finds the patches, prints what they have in common and draws them."""
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
        f"{accuracy(network, data.test_images, data.test_labels):.1%} of 1,000 test digits right; "
        f"patches out of {len(images):,}"
    )
    layers = [top_patches(network, name, images) for name in ("conv_1", "conv_2", "conv_3")]
    print_table(
        ("layer", "unit", "pixels seen", "strongest", "ninth", "labels of the nine"),
        [
            (
                patches.layer,
                unit,
                f"{patches.field.size} × {patches.field.size}",
                f"{patches.strength[unit, 0]:.2f}",
                f"{patches.strength[unit, -1]:.2f}",
                " ".join(map(str, sorted(labels[patches.origin[unit]].tolist()))),
            )
            for patches in layers
            for unit in exciting(patches)
        ],
    )
    save(lambda: draw(layers), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "top_patches.png")
    parser.add_argument("--epochs", type=positive, default=5, help="(%(default)s)")
    parser.add_argument(
        "--train-digits", type=positive, default=4000, help="of at most 4000 (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
