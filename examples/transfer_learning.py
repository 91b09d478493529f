# SPDX-License-Identifier: BSD-3-Clause
"""A network that knows the digits 0 to 6 learns 7, 8 and 9; the kernels that this saves.

A frozen weight needs no weight gradient, and below the lowest trained layer nobody needs an input
gradient: the table counts every kernel of one training step. A frozen trunk answers alike each
time, so its features are also kept on disk once, and the new last layer trains from there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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
    train,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from cnnkern import nn as cnnkern_nn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OLD, NEW = range(7), range(7, 10)
FEATURES = 32 * 3 * 3
KERNELS = ("conv", "conv_weight_grad", "conv_input_grad", "max_pool", "max_pool_grad")
BATCH = 50


class Count(TorchDispatchMode):
    """Counts the calls of cnnkern's kernels, those of the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.namespace == "cnnkern":
            self.calls[func._schema.name.removeprefix("cnnkern::")] += 1
        return func(*args, **(kwargs or {}))


def make_trunk() -> nn.Sequential:
    """Returns what turns a digit into its 288 features."""
    return nn.Sequential(
        OrderedDict(
            conv1=cnnkern_nn.Conv2d(1, 16, 5, activation="relu"),
            pool1=cnnkern_nn.MaxPool2d(2),
            conv2=cnnkern_nn.Conv2d(16, 32, 3, activation="relu"),
            pool2=cnnkern_nn.MaxPool2d(2),
            conv3=cnnkern_nn.Conv2d(32, 32, 3, activation="relu"),
            flatten=nn.Flatten(),
        )
    )


def freeze(trunk: nn.Sequential, trained: Sequence[str]) -> None:
    """Freezes every layer of the trunk but the named ones."""
    for name, layer in trunk.named_children():
        layer.requires_grad_(name in trained)


def chosen(images: Tensor, labels: Tensor, wanted: range) -> tuple[Tensor, Tensor]:
    """Returns the digits of some classes, labelled from 0."""
    inside = (labels >= wanted.start) & (labels < wanted.stop)
    return images[inside], labels[inside] - wanted.start


def new_layer(seed: int) -> nn.Linear:
    """Returns the last layer for the new digits; the seed alone decides its first weights."""
    torch.manual_seed(seed)
    return nn.Linear(FEATURES, len(NEW))


def kernels_of_a_step(
    trunk: nn.Sequential, trained: Sequence[str], images: Tensor, labels: Tensor
) -> Counter[str]:
    """Counts what one training step runs when only some layers of the trunk are trained."""
    freeze(trunk, trained)
    network = nn.Sequential(trunk, new_layer(0))
    with Count() as count:
        F.cross_entropy(network(images), labels).backward()
    network.zero_grad()
    return count.calls


def write_features(trunk: nn.Sequential, images: Tensor, path: Path) -> None:
    """Runs the trunk over all images once and keeps what it says in a file of numpy's."""
    features = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(images), FEATURES)
    )
    with torch.no_grad():
        for some in torch.arange(len(images)).split(500):
            features[some.numpy()] = trunk(images[some]).numpy()
    features.flush()


def read_features(path: Path) -> Tensor:
    """Returns the features of a file; only the rows in use are read into memory."""
    # copy-on-write: torch wants memory that it could write to, and the file stays as it is
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def train_last(
    layer: nn.Linear, features: Callable[[Tensor], Tensor], labels: Tensor, epochs: int, seed: int
) -> list[float]:
    """Trains the last layer on features asked for batch by batch; returns each step's loss."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for batch in batches(len(labels), BATCH, epochs, seed):
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(features(batch)), labels[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def draw(rows: Sequence[tuple[str, Counter[str]]], losses: Sequence[float], names: str) -> Figure:
    """Draws the kernels of a step as bars, and how the new layer learns."""
    canvas = figure(11, 3.6)
    bars, curve = canvas.subplots(1, 2, width_ratios=[1.4, 1])
    left = np.zeros(len(rows))
    colours = ("#1f5fa8", "#c44e52", "#f2b880", "#6b7785", "#b8c1cb")
    for kernel, colour in zip(KERNELS, colours, strict=True):
        counts = np.array([calls[kernel] for _, calls in rows])
        bars.barh([name for name, _ in rows], counts, left=left, color=colour, label=kernel)
        left += counts
    bars.invert_yaxis()
    bars.set_title("kernels of one training step")
    bars.legend(frameon=False, fontsize=8, loc="lower right")
    curve.semilogy(losses, color="#1f5fa8", linewidth=1)
    curve.set_title(f"loss of the new layer for {names}")
    curve.set_xlabel("step")
    return canvas


def run(options: argparse.Namespace) -> None:
    """Pretrains, counts kernels, trains the new layer both ways and compares."""
    data = digits()
    old, old_labels = chosen(data.train_images, data.train_labels, OLD)
    trunk = make_trunk()
    before = nn.Sequential(trunk, nn.Linear(FEATURES, len(OLD)))
    train(before, old, old_labels, epochs=options.epochs, seed=options.seed)
    right = accuracy(before, *chosen(data.test_images, data.test_labels, OLD))
    console().print(f"Pretrained on {len(old):,} digits 0 to 6: {right:.1%} of test digits right")

    images, labels = chosen(data.train_images, data.train_labels, NEW)
    images, labels = images[: options.new_digits], labels[: options.new_digits]
    every = ("conv1", "conv2", "conv3")
    rows = [
        (name, kernels_of_a_step(trunk, trained, images[:BATCH], labels[:BATCH]))
        for name, trained in (
            ("everything trained", every),
            ("conv1 frozen", every[1:]),
            ("conv1, conv2 frozen", every[2:]),
            ("the trunk frozen", ()),
        )
    ]
    rows.append(("features on disk", Counter()))
    print_table(
        ("a training step", *KERNELS),
        [(name, *(calls[kernel] or "-" for kernel in KERNELS)) for name, calls in rows],
    )

    freeze(trunk, ())
    ways = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "features.npy")

        def from_images() -> tuple[float, Callable[[Tensor], Tensor]]:
            return 0.0, lambda batch: trunk(images[batch])

        def from_disk() -> tuple[float, Callable[[Tensor], Tensor]]:
            start = time.perf_counter()
            write_features(trunk, images, path)
            features = read_features(path)
            return time.perf_counter() - start, lambda batch: features[batch]

        for name, way in (("trunk run in each step", from_images), ("features on disk", from_disk)):
            once, features = way()
            layer = new_layer(options.seed)
            start = time.perf_counter()
            losses = train_last(layer, features, labels, options.new_epochs, options.seed)
            ways.append((name, once, time.perf_counter() - start, losses, layer))
        size = path.stat().st_size
    test = chosen(data.test_images, data.test_labels, NEW)
    print_table(
        (f"{len(labels)} new digits, {options.new_epochs} epochs", "once", "training", "last loss",
         "test digits right"),
        [
            (name, f"{once:.2f} s" if once else "", f"{seconds:.2f} s", f"{losses[-1]:.6f}",
             f"{accuracy(nn.Sequential(trunk, layer), *test):.1%}")
            for name, once, seconds, losses, layer in ways
        ],
    )  # fmt: skip
    (_, _, first, losses, layer), (_, once, second, other_losses, other) = ways
    apart = max(abs(a - b) for a, b in zip(losses, other_losses, strict=True))
    same = torch.equal(layer.weight, other.weight)
    console().print(
        f"{first / (once + second):.1f} times as fast with {size / 2**20:.1f} MiB on disk; losses "
        f"at most {apart:.1e} apart, weights {'bit for bit the same' if same else 'not the same'}"
    )
    save(lambda: draw(rows, losses, "7, 8 and 9"), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "transfer_learning.png")
    parser.add_argument("--epochs", type=positive, default=4, help="of digits 0 to 6 (%(default)s)")
    parser.add_argument(
        "--new-epochs", type=positive, default=20, help="of the new digits (%(default)s)"
    )
    parser.add_argument(
        "--new-digits", type=positive, default=500, help="of the new digits (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
