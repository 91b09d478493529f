# SPDX-License-Identifier: BSD-3-Clause
"""One network that says what a drawn shape is and where: a class and one box.

Every picture shows one rectangle, ellipse or triangle among noise. Two heads on one trunk learn
together: cross entropy for the class, squared error for the corners of the box, as shares of the
picture. What counts in the end is the overlap with the true box: intersection over union.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from _common import (
    console,
    figure,
    launch,
    make_parser,
    positive,
    print_table,
    save,
)
from torch import Tensor, nn
from torch.nn import functional as F

from cnnkern import nn as cnnkern_nn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = 48  # of the pictures, pixels
SHAPES = ("rectangle", "ellipse", "triangle")
BATCH = 64
SHOWN = 12


@dataclass(frozen=True)
class Pictures:
    """``images`` ``(N, 1, 48, 48)``, ``labels`` ``(N,)``, and ``boxes`` ``(N, 4)``: left, top,
    right, bottom as shares of the picture."""

    images: Tensor
    labels: Tensor
    boxes: Tensor


def draw_shapes(count: int, seed: int) -> Pictures:
    """Draws pictures of one shape each, of random kind, place, size and brightness, with noise."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *sizes: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *sizes, generator=generator)

    labels = torch.randint(len(SHAPES), (count,), generator=generator)
    extent = uniform(0.2, 0.6, 2).mul(SIZE).round()
    start = (uniform(0, 1, 2) * (SIZE - extent)).round()
    boxes = torch.cat([start, start + extent], 1)
    centres = torch.arange(SIZE) + 0.5
    # where each pixel lies in its box: 0 to 1 from left to right, from top to bottom
    across, down = ((centres - start[:, axis, None]) / extent[:, axis, None] for axis in range(2))
    across, down = across[:, None, :], down[:, :, None]
    inside = (across > 0) & (across < 1) & (down > 0) & (down < 1)
    ellipse = (across - 0.5) ** 2 + (down - 0.5) ** 2 < 0.25
    triangle = (across - 0.5).abs() < down / 2
    kind = labels[:, None, None]
    shape = inside & ((kind == 0) | ((kind == 1) & ellipse) | ((kind == 2) & triangle))
    noise = 0.15 * torch.randn(count, SIZE, SIZE, generator=generator)
    images = uniform(0.5, 1.0, 1, 1) * shape + noise
    return Pictures(images[:, None], labels, boxes / SIZE)


class Localiser(nn.Module):
    """``(N, 1, 48, 48) -> (N, 3)`` scores of the shapes, ``(N, 4)`` boxes."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, more in ((1, 8), (8, 16), (16, 32), (32, 32)):
            layers.append(cnnkern_nn.Conv2d(channels, more, 3, padding=1, activation="relu"))
            layers.append(cnnkern_nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 3 * 3, 128), nn.ReLU())
        self.label = nn.Linear(128, len(SHAPES))
        self.box = nn.Linear(128, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the scores and the box of each picture."""
        features = self.trunk(images)
        return self.label(features), self.box(features)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Returns the intersection over union, pair by pair: ``(N, 4), (N, 4) -> (N,)``."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (a, b)]
    intersection = sides.prod(1)
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-12)


@torch.no_grad()
def measure(network: Localiser, test: Pictures) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the boxes, their IoU with the true ones, and which shapes were named right."""
    scores, boxes = network(test.images)
    return boxes, iou(boxes, test.boxes), scores.argmax(1) == test.labels


def fit(network: Localiser, steps: int, seed: int, test: Pictures) -> list[tuple[object, ...]]:
    """Trains on pictures drawn anew for each step; returns rows on how it went on."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rows: list[tuple[object, ...]] = []
    start = time.perf_counter()
    for step in range(1, steps + 1):
        seen = draw_shapes(BATCH, seed * 1_000_003 + step)
        scores, boxes = network(seen.images)
        label_loss = F.cross_entropy(scores, seen.labels)
        box_loss = (boxes - seen.boxes).square().sum(1).mean()
        optimizer.zero_grad()
        # both terms start near 1 each
        (label_loss + 5 * box_loss).backward()
        optimizer.step()
        decay.step()
        if step % max(1, steps // 6) == 0:
            _, overlap, right = measure(network, test)
            rows.append(
                (
                    step,
                    f"{label_loss.item():.3f}",
                    f"{box_loss.item():.4f}",
                    f"{right.float().mean().item():.1%}",
                    f"{overlap.mean().item():.3f}",
                    f"{time.perf_counter() - start:.1f} s",
                )
            )
    return rows


def draw(test: Pictures, boxes: Tensor, overlap: Tensor, guesses: Sequence[str]) -> Figure:
    """Draws test pictures with the true and the found boxes."""
    from matplotlib.patches import Rectangle

    canvas = figure(12, 4.6)
    for index, place in enumerate(canvas.subplots(2, SHOWN // 2).flat):
        place.imshow(test.images[index, 0].numpy(), cmap="gray_r", vmin=-0.3, vmax=1.2,
                     extent=(0, 1, 1, 0))  # fmt: skip
        for box, colour, style in (
            (test.boxes[index], "#6b7785", "--"),
            (boxes[index], "#c44e52", "-"),
        ):
            left, top, right, bottom = box.tolist()
            place.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour,
                          linestyle=style, linewidth=1.6)
            )  # fmt: skip
        place.set_title(f"{guesses[index]}, IoU {overlap[index]:.2f}")
        place.set_axis_off()
    canvas.suptitle("Test pictures: red the box that was found, dashed the true one", x=0.01,
                    ha="left", fontweight="bold")  # fmt: skip
    return canvas


def run(options: argparse.Namespace) -> None:
    """Trains, prints how class and box come out on new pictures, draws some."""
    test = draw_shapes(600, options.seed * 1_000_003)
    network = Localiser()
    rows = fit(network, options.steps, options.seed, test)
    print_table(
        ("step", "class loss", "box loss", "classes right", "mean IoU", "after"), rows, left=0
    )
    boxes, overlap, right = measure(network, test)
    print_table(
        ("600 new pictures", "shown", "class right", "mean IoU", "IoU above 0.5", "worst"),
        [
            (
                name,
                int(which.sum()),
                f"{right[which].float().mean().item():.1%}",
                f"{overlap[which].mean().item():.3f}",
                f"{(overlap[which] > 0.5).float().mean().item():.1%}",
                f"{overlap[which].min().item():.3f}",
            )
            for name, which in [
                *((name, test.labels == index) for index, name in enumerate(SHAPES)),
                ("all", test.labels >= 0),
            ]
        ],
    )
    console().print(f"IoU {overlap.mean():.3f}: intersection over union with the true box, mean")
    with torch.no_grad():
        named = network(test.images[:SHOWN])[0].argmax(1).tolist()
    save(lambda: draw(test, boxes, overlap, [SHAPES[label] for label in named]), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "localisation.png")
    parser.add_argument(
        "--steps", type=positive, default=1000, help="of training, 64 pictures each (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
