# SPDX-License-Identifier: BSD-3-Clause
"""Runs the demo and tells its story on the terminal.

Training is chaotic: a rounding grows until it shows. So a third network, torch's with one weight
changed in its last bit, says how far apart two right trainings end.
"""

from __future__ import annotations

import argparse
import os

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import nn as torch_nn

from cnnkern import _C
from cnnkern import nn as cnnkern_nn
from cnnkern.demo import picture
from cnnkern.demo.compare import compare
from cnnkern.demo.digits import Digits, load
from cnnkern.demo.train import (
    Runner,
    count_steps,
    largest_difference,
    make_runner,
    one_bit_off,
    train,
)

COMPARED_STEPS = 50
WIDTH = 120


def train_all(
    runners: list[Runner], digits: Digits, options: argparse.Namespace, console: Console
) -> None:
    """Trains under a progress bar that shows our loss."""
    steps = count_steps(digits, options.epochs, options.batch_size)
    columns = (
        TextColumn("training"),
        BarColumn(bar_width=48),
        MofNCompleteColumn(),
        TextColumn("steps, loss {task.fields[loss]:.4f},"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=steps, loss=float("nan"))
        train(
            runners,
            digits,
            epochs=options.epochs,
            batch_size=options.batch_size,
            seed=options.seed,
            on_step=lambda: progress.update(task, advance=1, loss=runners[0].losses[-1]),
        )


def training_table(runners: list[Runner], digits: Digits) -> Table:
    """Returns what each network has learned, and in which time."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layers")
    for title in ("test accuracy", "last loss", "a training step"):
        table.add_column(title, justify="right")
    for runner in runners:
        table.add_row(
            runner.name,
            f"{runner.accuracy(digits.test_images, digits.test_labels):.2%}",
            f"{runner.losses[-1]:.5f}",
            f"{runner.seconds / len(runner.losses) * 1e3:.2f} ms",
        )
    return table


def layer_table(ours: Runner, torchs: Runner, images: torch.Tensor) -> Table:
    """Returns plan, time and error of each direction of each layer."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("layer", "direction", "plan"):
        table.add_column(title)
    for title in ("cnnkern", "torch", "torch / cnnkern", "error", "torch's error"):
        table.add_column(title, justify="right")
    before = ""
    for row in compare(ours.network, torchs.network, images):
        if before not in ("", row.layer):
            table.add_section()
        table.add_row(
            row.layer if row.layer != before else "",
            row.direction,
            row.algorithm,
            f"{row.ours_us:,.0f} us",
            f"{row.torch_us:,.0f} us",
            f"{row.torch_us / row.ours_us:.2f}",
            f"{row.ours_error:.1e}",
            f"{row.torch_error:.1e}",
        )
        before = row.layer
    return table


def run(options: argparse.Namespace, device: torch.device) -> None:
    """Trains both networks, prints how they compare and writes the picture."""
    # Without a terminal rich takes 80 columns, too few for the table.
    console = Console(width=None if os.isatty(1) else WIDTH, highlight=False)
    digits = load(options.train_digits).to(device)
    runners = [
        make_runner("cnnkern.nn", cnnkern_nn, options.seed, device),
        make_runner("torch.nn", torch_nn, options.seed, device),
        one_bit_off(make_runner("torch.nn, one bit off", torch_nn, options.seed, device)),
    ]
    ours, torchs, off = runners
    parameters = sum(p.numel() for p in ours.network.parameters())
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    console.print(
        f"LeNet-5 ({parameters:,} parameters) on {len(digits.train_labels):,} MNIST digits, "
        f"tested on {len(digits.test_labels):,}; seed {options.seed}, batches of "
        f"{options.batch_size}; {device}, {threads}, {_C.info()['isa']}"
    )
    train_all(runners, digits, options, console)

    console.print(training_table(runners, digits))
    steps = min(COMPARED_STEPS, len(ours.losses))
    ours_apart, off_apart = (
        largest_difference(runner.losses, torchs.losses, steps) for runner in (ours, off)
    )
    console.print(
        f"Largest difference from torch.nn's loss over the first {steps} steps: {ours_apart:.1e} "
        f"(one bit off: {off_apart:.1e})\n"
    )
    images = digits.train_images[: options.batch_size]
    console.print(
        f"Each layer on {len(images)} digits; error: largest, against float64, as a share"
    )
    console.print("of the largest value; medians of calls taken in turn")
    console.print(layer_table(ours, torchs, images))

    picture.save(options.output, ours, torchs, off, digits)
    console.print(f"Picture: {options.output}")
