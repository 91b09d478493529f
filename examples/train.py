#!/usr/bin/env python
# SPDX-License-Identifier: BSD-3-Clause
"""Training over several processes, or machines, by torchrun; the losses are those of one.

    python examples/train.py
    torchrun --nproc-per-node 2 examples/train.py
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
      examples/train.py --checkpoint shared/digits.pt

Each step's batch is shuffled alike everywhere and split over the processes; DDP takes the mean of
their gradients. Bits may differ, as sums are taken in another order. The layers are LeNet-5's, the
data 5,000 real digits. With --checkpoint a later call goes on where the last epoch ended.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

# A checkout that was built but not installed will do; an installed cnnkern comes first.
sys.path.append(str(Path(__file__).parents[1]))

import cnnkern
from cnnkern.cli.checks import check_file, check_packages
from cnnkern.cli.parser import Parser, UsageError, positive, seed
from cnnkern.demo.digits import Digits
from cnnkern.demo.digits import load as load_digits
from cnnkern.demo.train import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, lenet5


@dataclass(frozen=True)
class Place:
    """Which process this is, of how many, and where its tensors live."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mean(self, value: Tensor) -> float:
        """The mean of a number over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return value.item() / self.world


@contextmanager
def joined() -> Iterator[Place]:
    """Joins the processes that torchrun started; alone where it did not."""
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    on_gpu = bool(cnnkern._C.info()["cuda"]) and torch.cuda.device_count() > local
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if world == 1:
        yield Place(0, 1, device)
        return
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Place(dist.get_rank(), world, device)
    finally:
        dist.destroy_process_group()


class Batches:
    """The positions of this process's part of each batch, shuffled anew in each epoch."""

    def __init__(self, count: int, size: int, seed: int, place: Place) -> None:
        self.count, self.size, self.seed, self.place = count, size, seed, place

    def __len__(self) -> int:
        return self.count // self.size  # whole batches: each process has as many images

    def of_epoch(self, epoch: int) -> Iterator[Tensor]:
        """Yields the parts; the epoch's number and the seed alone decide the order."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(self.count, generator=generator)
        for chosen in order.split(self.size)[: len(self)]:
            yield chosen[self.place.rank :: self.place.world]


@dataclass
class Run:
    """What a checkpoint holds."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    losses: list[float]
    epochs: int = 0

    def save(self, path: Path) -> None:
        """Writes all of it or nothing."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": self.losses,
            "epochs": self.epochs,
        }
        part = path.with_name(path.name + ".part")
        torch.save(state, part)
        os.replace(part, path)

    def load(self, path: Path, device: torch.device) -> None:
        """Takes up what `save` wrote.

        Raises:
            UsageError: the file is no checkpoint of this training.
        """
        try:
            state: dict[str, Any] = torch.load(path, device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.losses, self.epochs = state["losses"], state["epochs"]
        except Exception as error:
            raise UsageError(
                f"--checkpoint: '{path}' is no checkpoint of this training "
                f"({type(error).__name__}); name another file or remove it"
            ) from None


def train_epoch(
    run: Run, parallel: nn.Module, digits: Digits, batches: Batches, place: Place
) -> Iterator[float]:
    """Trains on every digit once; yields each step's loss over the whole batch."""
    for chosen in batches.of_epoch(run.epochs):
        images = digits.train_images[chosen].to(place.device)
        labels = digits.train_labels[chosen].to(place.device)
        run.optimizer.zero_grad()
        loss = F.cross_entropy(parallel(images), labels)
        loss.backward()
        run.optimizer.step()
        run.losses.append(place.mean(loss.detach()))
        yield run.losses[-1]
    run.epochs += 1


@torch.no_grad()
def accuracy(network: nn.Module, digits: Digits, device: torch.device) -> float:
    """Returns the share of test digits that are read right."""
    likeliest: Tensor = network(digits.test_images.to(device)).argmax(1)
    return (likeliest == digits.test_labels.to(device)).float().mean().item()


def make_parser() -> Parser:
    """Returns what reads the command line."""
    parser = Parser(
        prog="train.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=positive, default=3, help="in all (default: 3)")
    parser.add_argument(
        "--batch-size", type=positive, default=64, help="over all processes (default: 64)"
    )
    parser.add_argument("--limit", type=positive, help="train on this many digits")
    parser.add_argument("--seed", type=seed, default=0, help="of weights and order (default: 0)")
    parser.add_argument("--checkpoint", type=Path, help="written after each epoch, gone on from")
    parser.add_argument("--losses", type=Path, help="a JSON file for the loss of each step")
    return parser


def work(options: argparse.Namespace, place: Place) -> None:
    """Trains, shows, saves."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    if options.batch_size % place.world:
        raise UsageError(
            f"--batch-size: expected a multiple of the {place.world} processes, "
            f"got {options.batch_size}"
        )
    digits = load_digits(options.limit)
    batches = Batches(len(digits.train_labels), options.batch_size, options.seed, place)
    if not len(batches):
        raise UsageError(
            f"--batch-size: expected at most the {batches.count} training digits, "
            f"got {options.batch_size}"
        )
    torch.manual_seed(options.seed)  # the same weights everywhere
    network = lenet5(cnnkern.nn).to(place.device)
    optimizer = torch.optim.SGD(
        network.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    run = Run(network, optimizer, [])
    if options.checkpoint and options.checkpoint.exists():
        run.load(options.checkpoint, place.device)
    if place.world > 1:
        dist.barrier()  # nobody writes before all have read

    parallel = DistributedDataParallel(network) if place.world > 1 else network
    words = "1 process" if place.world == 1 else f"{place.world} processes"
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(), disable=not place.first) as bar:
        done, steps = len(run.losses), len(batches) * options.epochs
        task = bar.add_task(words, completed=done, total=steps)
        while run.epochs < options.epochs:
            for loss in train_epoch(run, parallel, digits, batches, place):
                bar.update(task, advance=1, description=f"{words}, loss {loss:.3f}")
            if not place.first:
                continue
            mean = sum(run.losses[-len(batches) :]) / len(batches)
            right = accuracy(network, digits, place.device)
            bar.console.print(
                f"epoch {run.epochs}: mean loss {mean:.4f}, {right:.1%} of the test digits right"
            )
            if options.checkpoint:
                run.save(options.checkpoint)
    if place.first and options.losses:
        options.losses.write_text(json.dumps(run.losses))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    first = int(os.environ.get("RANK", 0)) == 0
    try:
        check_packages(("mlxtend", "rich"), "demo")
        for option in ("checkpoint", "losses"):
            if first and getattr(options, option):
                check_file(f"--{option}", getattr(options, option))
        with joined() as place:
            work(options, place)
    except UsageError as error:
        if first:
            print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if first:
            print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
