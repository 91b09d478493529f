# SPDX-License-Identifier: BSD-3-Clause
"""Few digits go further when each is shown changed: mirrored, turned, cropped, noisy, recoloured.

A network learns from 300 coloured digits. The loader's worker processes change each picture anew
every time it is drawn, while the network trains. Each change is tried alone and all together, on
digits as they are and on digits that are turned, shifted, recoloured and noisy themselves.
Mirrored digits are no digits: that change costs accuracy, which the table shows too.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from _common import (
    accuracy,
    batches,
    console,
    digits,
    figure,
    launch,
    make_parser,
    positive,
    print_table,
    save,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from cnnkern import nn as cnnkern_nn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 50
SHOWN = 10
Change = Callable[[Tensor, torch.Generator], Tensor]


def draw_uniform(low: float, high: float, generator: torch.Generator) -> float:
    """Returns one number between two."""
    return low + (high - low) * torch.rand((), generator=generator).item()


def mirror(image: Tensor, generator: torch.Generator) -> Tensor:
    """Swaps left and right, every other time."""
    return image.flip(2) if draw_uniform(0, 1, generator) < 0.5 else image


def rotate(image: Tensor, generator: torch.Generator) -> Tensor:
    """Turns by up to 20 degrees."""
    angle = math.radians(draw_uniform(-20, 20, generator))
    c, s = math.cos(angle), math.sin(angle)
    grid = F.affine_grid(
        torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]]), [1, *image.shape], align_corners=False
    )
    return F.grid_sample(
        image[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def crop(image: Tensor, generator: torch.Generator) -> Tensor:
    """Cuts 28 × 28 pixels out of the picture with a border of 3 more on each side."""
    around = F.pad(image[None], (3, 3, 3, 3), mode="replicate")[0]
    top, left = torch.randint(7, (2,), generator=generator).tolist()
    return around[:, top : top + 28, left : left + 28]


def add_noise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Adds noise of up to a fifth of the brightness."""
    strength = draw_uniform(0, 0.2, generator)
    return image + strength * torch.randn(image.shape, generator=generator)


def shift_colour(image: Tensor, generator: torch.Generator) -> Tensor:
    """Adds up to 60 of 255 to red, green and blue, or takes it away, each by itself."""
    return image + (torch.rand(3, 1, 1, generator=generator) - 0.5) * (120 / 255)


CHANGES: dict[str, Change] = {
    "mirror": mirror,
    "rotate": rotate,
    "crop": crop,
    "colour shift": shift_colour,
    "noise": add_noise,
}
ALL = "all but mirror"


def named_changes(name: str) -> list[Change]:
    """Returns the changes of one run: none, one, or all that leave a digit a digit."""
    if name == "none":
        return []
    return [CHANGES[name]] if name != ALL else [c for k, c in CHANGES.items() if k != "mirror"]


def coloured(images: Tensor, seed: int) -> Tensor:
    """Returns grey digits ``(N, 1, 28, 28)`` in ink of a random colour: ``(N, 3, 28, 28)``."""
    ink = torch.rand(len(images), 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    return images * (0.5 + 0.5 * ink)


class Changed(Dataset[tuple[Tensor, Tensor]]):
    """Digits, each changed anew whenever it is drawn.

    What a change does follows from the seed and the draw's number alone, so that any number of
    workers gives the same training.
    """

    def __init__(self, images: Tensor, labels: Tensor, changes: list[Change], seed: int) -> None:
        self.images, self.labels, self.changes, self.seed = images, labels, changes, seed

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        which = index % len(self)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + index) % (1 << 63))
        image = self.images[which]
        for change in self.changes:
            image = change(image, generator)
        return image, self.labels[which]


class Draws(Sampler[list[int]]):
    """The batches of all epochs; a position counts the epoch too, so that workers live on."""

    def __init__(self, count: int, epochs: int, seed: int) -> None:
        self.count, self.epochs, self.seed = count, epochs, seed

    def __len__(self) -> int:
        return self.epochs * math.ceil(self.count / BATCH)

    def __iter__(self) -> Iterator[list[int]]:
        each = math.ceil(self.count / BATCH)
        for step, batch in enumerate(batches(self.count, BATCH, self.epochs, self.seed)):
            yield (batch + self.count * (step // each)).tolist()


def load(data: Changed, epochs: int, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Returns the loader of a whole training."""
    return DataLoader(data, batch_sampler=Draws(len(data), epochs, data.seed), num_workers=workers)


def make_network(seed: int) -> nn.Sequential:
    """Returns the network, whose first weights the seed alone decides."""
    torch.manual_seed(seed)
    return nn.Sequential(
        cnnkern_nn.Conv2d(3, 16, 5, activation="relu"),
        cnnkern_nn.MaxPool2d(2),
        cnnkern_nn.Conv2d(16, 32, 3, activation="relu"),
        cnnkern_nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 5 * 5, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def fit(data: Changed, epochs: int, workers: int) -> tuple[nn.Sequential, float]:
    """Trains a new network while workers change its pictures; returns it and its last loss."""
    network = make_network(data.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    loss = torch.tensor(math.nan)
    for images, labels in load(data, epochs, workers):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
    return network, loss.item()


def hardened(images: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Returns test digits that are turned, shifted, recoloured and noisy, always alike."""
    data = Changed(images, labels, named_changes(ALL), seed + 1)
    return torch.stack([data[index][0] for index in range(len(data))])


def draw(images: Tensor, labels: Tensor, seed: int) -> Figure:
    """Draws digits as they are, under each change and under all."""
    canvas = figure(SHOWN * 0.95, 7.2)
    names = ["none", *CHANGES, ALL]
    places = canvas.subplots(len(names), SHOWN)
    for row, name in zip(places, names, strict=True):
        data = Changed(images, labels, named_changes(name), seed)
        for index, place in enumerate(row):
            place.imshow(data[index][0].clamp(0, 1).permute(1, 2, 0).numpy())
            place.set_axis_off()
        row[0].set_title(name)
    return canvas


def run(options: argparse.Namespace) -> None:
    """Trains once for each choice of changes, prints accuracies, draws examples."""
    data = digits()
    images = coloured(data.train_images[: options.train_digits], options.seed)
    labels = data.train_labels[: options.train_digits]
    plain = coloured(data.test_images, options.seed + 1)
    hard = hardened(plain, data.test_labels, options.seed)
    rows = []
    for name in ("none", *CHANGES, ALL):
        start = time.perf_counter()
        changed = Changed(images, labels, named_changes(name), options.seed)
        network, loss = fit(changed, options.epochs, options.workers)
        rows.append(
            (
                name,
                f"{loss:.4f}",
                f"{accuracy(network, plain, data.test_labels):.1%}",
                f"{accuracy(network, hard, data.test_labels):.1%}",
                f"{time.perf_counter() - start:.1f} s",
            )
        )
    workers = "1 worker" if options.workers == 1 else f"{options.workers} workers"
    console().print(
        f"Trained on {len(labels):,} digits, {options.epochs} epochs, changed by {workers}; "
        "tested on 1,000 as they are and 1,000 turned, shifted, recoloured, noisy"
    )
    print_table(("change", "last loss", "test digits right", "changed ones right", "time"), rows)
    save(lambda: draw(images[:SHOWN], labels[:SHOWN], options.seed), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "augmentation.png")
    parser.add_argument("--epochs", type=positive, default=40, help="(%(default)s)")
    parser.add_argument("--workers", type=positive, default=1, help="processes (%(default)s)")
    parser.add_argument(
        "--train-digits", type=positive, default=300, help="of at most 4000 (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
