# SPDX-License-Identifier: BSD-3-Clause
"""A training that can be killed at any step and goes on as if nothing had happened.

Trains a network with dropout under a progress bar. The checkpoint holds all that the next step
depends on: weights, momentum, learning rate, position in the shuffled digits, random state. Kill
it, press Ctrl-C, pull the plug: the same command with --resume goes on, with the very same losses.
In the end the weights move into torch.nn's layers and back, key by key.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from _common import (
    UsageError,
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
from torch import nn
from torch.nn import functional as F

from cnnkern import nn as cnnkern_nn
from cnnkern.cli.checks import check_file
from cnnkern.cli.parser import seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH = 50
VERSION = 1  # of the checkpoint's contents


def make_network(layers: ModuleType) -> nn.Sequential:
    """Returns the network with the layers of ``cnnkern.nn`` or of ``torch.nn``."""
    return nn.Sequential(
        OrderedDict(
            conv1=layers.Conv2d(1, 16, 5),
            relu1=nn.ReLU(),
            pool1=layers.MaxPool2d(2),
            conv2=layers.Conv2d(16, 32, 3),
            relu2=nn.ReLU(),
            pool2=layers.MaxPool2d(2),
            flatten=nn.Flatten(),
            dense1=nn.Linear(32 * 5 * 5, 64),
            relu3=nn.ReLU(),
            dropout=nn.Dropout(0.3),
            dense2=nn.Linear(64, 10),
        )
    )


class Training:
    """A training and where it stands.

    Args:
        epochs: how often each digit is seen.
        seed: of weights, shuffles and dropout.
        count: how many digits there are.
    """

    def __init__(self, epochs: int, seed: int, count: int) -> None:
        self.setting = {"epochs": epochs, "seed": seed, "count": count}
        self.steps = -(-count // BATCH) * epochs
        torch.manual_seed(seed)
        self.network = make_network(cnnkern_nn)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)
        self.rate = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.steps)
        self.losses: list[float] = []

    def state(self) -> dict[str, Any]:
        """Returns all that the next step depends on."""
        return {
            "version": VERSION,
            "setting": self.setting,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state_dict(),
            "random": torch.get_rng_state(),
            "losses": self.losses,
        }

    def save(self, path: Path) -> None:
        """Writes a checkpoint; whoever is killed meanwhile leaves the one before."""
        half = path.with_name(path.name + ".part")
        torch.save(self.state(), half)
        os.replace(half, path)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            UsageError: there is none, it cannot be read, or it is of another training.
        """
        try:
            state = torch.load(path, weights_only=True)
            setting, version = state["setting"], state["version"]
        except FileNotFoundError:
            raise UsageError(f"--resume: there is no checkpoint '{path}'") from None
        except Exception as error:
            raise UsageError(f"--resume: '{path}' is no checkpoint of this: {error}") from None
        if (setting, version) != (self.setting, VERSION):
            raise UsageError(
                f"--resume: '{path}' is of another training: expected {self.setting}, got {setting}"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.load_state_dict(state["rate"])
        torch.set_rng_state(state["random"])
        self.losses = state["losses"]

    def run(self, path: Path, every: int, slow: float = 0.0) -> None:
        """Trains to the end under a progress bar.

        Args:
            path: of the checkpoints.
            every: how many steps come between two.
            slow: seconds to wait after each step.
        """
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        data = digits()
        count, epochs, seed = (self.setting[key] for key in ("count", "epochs", "seed"))
        images, labels = data.train_images[:count], data.train_labels[:count]
        columns = (
            TextColumn("training"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("steps, loss {task.fields[loss]:.4f}"),
        )
        # The order of the digits follows from the seed, so going on means to pass over some.
        order = islice(batches(count, BATCH, epochs, seed), len(self.losses), None)
        self.save(path)  # so that there is one, and of this training, whenever it ends
        try:
            with Progress(*columns, console=console()) as bar:
                task = bar.add_task(
                    "", total=self.steps, completed=len(self.losses), loss=float("nan")
                )
                for chosen in order:
                    self.step(images[chosen], labels[chosen])
                    bar.update(task, advance=1, loss=self.losses[-1])
                    if len(self.losses) % every == 0:
                        self.save(path)
                    time.sleep(slow)
        except KeyboardInterrupt:
            # Perhaps within a step: what is in memory may be half of one, the file is not.
            console().print(f"Stopped; --resume goes on from '{path}'", soft_wrap=True)
            raise
        self.save(path)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Trains on one batch."""
        self.network.train()
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        self.rate.step()
        self.losses.append(loss.item())


def move_to_torch_and_back(network: nn.Sequential) -> list[tuple[str, object, object]]:
    """Loads the weights into torch.nn's layers and from there into new ones of cnnkern.

    Returns:
        Rows of what was compared: name, expected, found.
    """
    images = digits().test_images
    torchs, again = make_network(nn).eval(), make_network(cnnkern_nn).eval()
    torchs.load_state_dict(network.state_dict())  # strict: every key must be there, and no other
    again.load_state_dict(torchs.state_dict())
    network.eval()
    with torch.no_grad():
        ours, theirs, back = (net(images) for net in (network, torchs, again))
    scale = theirs.abs().max()
    return [
        ("keys of the state_dict", len(network.state_dict()), len(torchs.state_dict())),
        ("torch.nn: largest difference, share of the largest score", "rounding",
         f"{((ours - theirs).abs().max() / scale).item():.1e}"),
        ("torch.nn: other answers to 1,000 digits", 0,
         int((ours.argmax(1) != theirs.argmax(1)).sum())),
        ("back in cnnkern.nn: largest difference", "0", f"{(ours - back).abs().max().item():g}"),
    ]  # fmt: skip


def draw(losses: Sequence[float], resumed: int) -> Figure:
    """Draws the losses and where the training was taken up again."""
    canvas = figure(8, 3.4)
    place = canvas.subplots()
    place.semilogy(losses, color="#1f5fa8", linewidth=0.9)
    if resumed:
        place.axvline(resumed, color="#c44e52", linestyle="--")
        place.annotate(f" resumed after step {resumed}", (resumed, max(losses)), color="#c44e52")
    place.set_title("training loss")
    place.set_xlabel("step")
    return canvas


def run(options: argparse.Namespace) -> None:
    """Trains, or goes on training, and prints what came of it."""
    check_file("--checkpoint", options.checkpoint)
    data = digits()
    training = Training(
        options.epochs, options.seed, min(options.train_digits, len(data.train_labels))
    )
    if options.resume:
        training.load(options.checkpoint)
        console().print(f"Goes on after step {len(training.losses)}")
    resumed = len(training.losses)
    training.run(options.checkpoint, options.every, options.slow)
    network = training.network.eval()
    right = accuracy(network, data.test_images, data.test_labels)
    console().print(
        f"Loss {training.losses[0]!r} in the first step, {training.losses[-1]!r} in the last; "
        f"{right:.1%} of 1,000 test digits right"
    )
    print_table(("moved to other layers", "expected", "found"), move_to_torch_and_back(network))
    size = options.checkpoint.stat().st_size
    console().print(f"Checkpoint: {options.checkpoint}, {size / 2**10:.0f} KiB", soft_wrap=True)
    save(lambda: draw(training.losses, resumed), options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the example from the command line."""
    parser = make_parser(__doc__, "training.png")
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("training.pt"), help="(%(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument(
        "--every", type=positive, default=20, help="steps between checkpoints (%(default)s)"
    )
    parser.add_argument(
        "--slow", type=seconds, default=0.0, help="seconds between steps, to watch or to kill it"
    )
    parser.add_argument("--epochs", type=positive, default=6, help="(%(default)s)")
    parser.add_argument(
        "--train-digits", type=positive, default=4000, help="of at most 4000 (%(default)s)"
    )
    return launch(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
