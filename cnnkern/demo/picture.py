# SPDX-License-Identifier: BSD-3-Clause
"""The picture of a training: losses, first filters, and one digit on its way through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from numpy.typing import NDArray
from torch import Tensor, nn

from cnnkern.benchmark.style import ACCENT, GREY, INK, PALE, STYLE
from cnnkern.demo.digits import Digits
from cnnkern.demo.train import Runner

CAPTION: dict[str, Any] = {"fontsize": 9, "fontweight": "normal", "linespacing": 1.4}


def smooth(values: Sequence[float], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns steps and means over a window that ends at each step."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    window = min(window, len(values))
    steps = np.arange(window, len(values) + 1)
    return steps.astype(np.float64), (sums[window:] - sums[:-window]) / window


def draw_losses(
    figure: Figure, place: SubplotSpec, ours: Runner, torchs: Runner, off: Runner
) -> None:
    """Draws both loss curves and, below them, how far ours, and torch's own with one bit changed,
    are from torch's."""
    grid = GridSpecFromSubplotSpec(2, 1, place, height_ratios=[1.9, 1], hspace=0.12)
    top = figure.add_subplot(grid[0])
    window = max(1, len(ours.losses) // 40)
    top.plot(ours.losses, color=GREY, alpha=0.18, linewidth=0.7)
    top.plot(*smooth(torchs.losses, window), color=PALE, linewidth=5, label="torch.nn")
    top.plot(*smooth(ours.losses, window), color=ACCENT, linewidth=1.4, label="cnnkern.nn")
    top.set_yscale("log")
    top.set_ylabel("training loss")
    top.set_title("LeNet-5 trained twice from one seed: layers of cnnkern, layers of torch")
    top.legend(frameon=False, loc="upper right")
    top.tick_params(labelbottom=False)

    below = figure.add_subplot(grid[1], sharex=top)
    for runner, name, color, width in (
        (off, "torch.nn with one bit changed", PALE, 4),
        (ours, "cnnkern.nn", ACCENT, 1.4),
    ):
        apart = np.abs(np.subtract(runner.losses, torchs.losses))
        below.plot(
            *smooth(np.maximum(apart, 1e-9).tolist(), window),
            label=name,
            color=color,
            linewidth=width,
        )
    below.set_yscale("log")
    below.set_ylabel("apart from\ntorch.nn")
    below.set_xlabel("training step")
    below.legend(frameon=False, loc="lower right")
    for axes in (top, below):
        axes.yaxis.set_label_coords(-0.06, 0.5)


def mosaic(maps: Tensor, columns: int) -> NDArray[np.float32]:
    """Returns equally large maps side by side in rows, thin gaps of NaN between them."""
    count, height, width = maps.shape
    scale = max(1, 48 // height)  # so that the gap is as thin between small maps
    height, width, gap = height * scale, width * scale, 3
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan, dtype=np.float32
    )
    for index, one in enumerate(maps.cpu().numpy()):
        top, left = (
            position * (size + gap)
            for position, size in zip(divmod(index, columns), (height, width), strict=True)
        )
        sheet[top : top + height, left : left + width] = one.repeat(scale, 0).repeat(scale, 1)
    return sheet


def show(axes: Axes, sheet: NDArray[np.float32], **options: Any) -> None:
    """Draws a sheet of maps without a frame."""
    axes.imshow(sheet, interpolation="nearest", **options)
    axes.set_axis_off()


def draw_filters(axes: Axes, weight: Tensor) -> None:
    """Draws the first layer's filters on one scale around zero."""
    limit = weight.abs().max().item()
    show(axes, mosaic(weight[:, 0], 3), cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_anchor("N")
    axes.set_title("What conv1 has learned: six 5 × 5 filters")


def draw_answer(axes: Axes, scores: Tensor, label: int) -> None:
    """Draws the probabilities of the ten digits."""
    chances = scores.softmax(0).cpu().numpy()
    colours = [ACCENT if digit == label else GREY for digit in range(10)]
    axes.barh(range(10), chances, color=colours, height=0.7)
    axes.set_yticks(range(10))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1], ["0", "1"])
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.set_title("answer\nprobability", **CAPTION)


def stages(network: nn.Sequential, image: Tensor) -> tuple[list[tuple[str, Tensor]], Tensor]:
    """Returns the feature maps after each convolution and pool, and the scores at the end."""
    found: list[tuple[str, Tensor]] = []
    x = image[None]
    with torch.no_grad():
        for name, layer in network.named_children():
            x = layer(x)
            if name.startswith(("relu", "pool")) and x.dim() == 4:
                found.append((name.replace("relu", "conv"), x[0]))
    return found, x[0]


def draw_maps(
    figure: Figure, place: SubplotSpec, network: nn.Sequential, image: Tensor, label: int
) -> None:
    """Draws one digit, its feature maps after each layer, and the answer."""
    found, scores = stages(network, image)
    grid = GridSpecFromSubplotSpec(
        1, 6, place, width_ratios=[2.6, 2.6, 2.6, 4, 4, 2.0], wspace=0.15
    )
    first = figure.add_subplot(grid[0])
    show(first, image[0].cpu().numpy(), cmap="gray_r")
    first.text(
        0, 1.62, "One test digit on its way through the layers", transform=first.transAxes,
        fontsize=STYLE["axes.titlesize"], fontweight="bold", color=INK,
    )  # fmt: skip
    first.set_title("input\n28 × 28", **CAPTION)
    for column, (name, maps) in enumerate(found, start=1):
        axes = figure.add_subplot(grid[column])
        brightest = maps.amax((1, 2), keepdim=True).clamp(min=1e-12)
        show(axes, mosaic(maps / brightest, 2 if len(maps) == 6 else 4), cmap="Blues", vmin=-0.06)
        what = "conv{}, ReLU" if name.startswith("conv") else "max pool{}"
        size = " × ".join(map(str, maps.shape))
        axes.set_title(f"{what.format(name[-1])}\n{size}", **CAPTION)
    draw_answer(figure.add_subplot(grid[5]), scores, label)


def choose_digit(network: nn.Sequential, images: Tensor, labels: Tensor, wanted: int = 8) -> int:
    """Returns the position of a digit that the network reads right, of the wanted class if any."""
    with torch.no_grad():
        right = network(images).argmax(1) == labels
    good = (right & (labels == wanted)).nonzero()
    return int(good[0]) if len(good) else 0


def save(path: Path, ours: Runner, torchs: Runner, off: Runner, digits: Digits) -> None:
    """Writes the picture of one training to a file whose suffix names the format."""
    chosen = choose_digit(ours.network, digits.test_images, digits.test_labels)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 7.2), dpi=150, facecolor="white")
        grid = figure.add_gridspec(
            2, 1, height_ratios=[1.25, 1], hspace=0.46, left=0.06, right=0.98, top=0.94, bottom=0.04
        )
        upper = GridSpecFromSubplotSpec(1, 2, grid[0], width_ratios=[1.75, 1], wspace=0.1)
        draw_losses(figure, upper[0], ours, torchs, off)
        draw_filters(
            figure.add_subplot(upper[1]), ours.network.get_parameter("conv1.weight").detach()
        )
        draw_maps(
            figure,
            grid[1],
            ours.network,
            digits.test_images[chosen],
            int(digits.test_labels[chosen]),
        )
        figure.savefig(path)
