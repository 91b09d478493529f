# SPDX-License-Identifier: BSD-3-Clause
"""What a small network has learned to look for, and what each layer makes of one digit.

Trains three convolutions on 4,000 real digits for a few seconds, then draws the filters of the
first layer and the feature maps behind every layer.
"""

from __future__ import annotations

import argparse
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from _common import (
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
from torch import Tensor, nn

from cnnkern import nn as cnnkern_nn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WANTED = 8  # the digit that is drawn


def make_network() -> nn.Sequential:
    """Returns the network; the ReLU is part of each convolution."""
    return nn.Sequential(
        OrderedDict(
            conv_1=cnnkern_nn.Conv2d(1, 16, 5, activation="relu"),
            max_pool_1=cnnkern_nn.MaxPool2d(2),
            conv_2=cnnkern_nn.Conv2d(16, 16, 3, activation="relu"),
            max_pool_2=cnnkern_nn.MaxPool2d(2),
            conv_3=cnnkern_nn.Conv2d(16, 16, 3, activation="relu"),
            flatten=nn.Flatten(),
            dense=nn.Linear(16 * 3 * 3, 10),
        )
    )


def record(network: nn.Sequential, image: Tensor) -> OrderedDict[str, Tensor]:
    """Returns what each layer makes of one image, by forward hooks.

    Args:
        network: whose layers are watched.
        image: ``(1, 28, 28)``.
    """
    found: OrderedDict[str, Tensor] = OrderedDict()

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            found[name] = output[0]

        return network.get_submodule(name).register_forward_hook(hook)

    hooks = [keep(name) for name, _ in network.named_children()]
    try:
        with torch.no_grad():
            network(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return found


def draw(network: nn.Sequential, image: Tensor, maps: OrderedDict[str, Tensor]) -> Figure:
    """Draws the first filters, the digit and its feature maps."""
    canvas = figure(13, 6)
    upper, lower = canvas.subfigures(2, 1, height_ratios=[1, 1.1])
    left, right = upper.subplots(1, 2, width_ratios=[3.4, 1])
    weight = network.get_parameter("conv_1.weight").detach()[:, 0]
    limit = weight.abs().max().item()
    sheet(left, weight, 8, "The 16 learned filters of conv_1 (red: positive, blue: negative)",
          cmap="RdBu_r", vmin=-limit, vmax=limit)  # fmt: skip
    sheet(right, image, 1, "One test digit, 28 × 28", cmap="gray_r")
    shown = [(name, found) for name, found in maps.items() if found.dim() == 3]
    axes = lower.subplots(1, len(shown))
    for place, (name, found) in zip(axes, shown, strict=True):
        brightest = found.amax((1, 2), keepdim=True).clamp(min=1e-12)
        size = " × ".join(map(str, found.shape))
        sheet(place, found / brightest, 4, f"{name}\n{size}", cmap="Blues", vmin=-0.06)
    return canvas


def run(options: argparse.Namespace) -> None:
    """Trains, prints what each layer does and draws."""
    data = digits()
    network = make_network()
    losses = train(
        network,
        data.train_images[: options.train_digits],
        data.train_labels[: options.train_digits],
        epochs=options.epochs,
        seed=options.seed,
    )
    console().print(
        f"Trained {len(losses)} steps: loss {losses[0]:.3f} to {losses[-1]:.3f}, "
        f"{accuracy(network, data.test_images, data.test_labels):.1%} of 1,000 test digits right"
    )
    image = data.test_images[data.test_labels == WANTED][0]
    maps = record(network, image)
    rows = []
    for (name, layer), field in zip(
        network.named_children(), fields(network.children()), strict=True
    ):
        found = maps[name]
        drawn = found.dim() == 3
        rows.append(
            (
                name,
                " × ".join(map(str, found.shape)),
                f"{sum(p.numel() for p in layer.parameters()):,}",
                f"{field.size} × {field.size}" if drawn else "all",
                f"{(found > 0).float().mean().item():.0%}" if drawn else "",
                f"{int((found.amax((1, 2)) == 0).sum())}" if drawn else "",
            )
        )
    print_table(
        ("layer", "output", "parameters", "pixels seen", "positions above 0", "silent maps"), rows
    )
    save(lambda: draw(network, image, maps), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "filters_and_feature_maps.png")
    parser.add_argument("--epochs", type=positive, default=5, help="(%(default)s)")
    parser.add_argument(
        "--train-digits", type=positive, default=4000, help="of at most 4000 (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
