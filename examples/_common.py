# SPDX-License-Identifier: BSD-3-Clause
"""What the examples share: options and ends, digits, a training loop, tables, pictures.

The packages beyond torch are imported where they are used, so that `launch` can name those that are
missing in one line.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# A checkout that was built but not installed will do; an installed cnnkern comes first.
sys.path.append(str(Path(__file__).parents[1]))

from cnnkern.cli.checks import check_file, check_packages
from cnnkern.cli.parser import Parser, UsageError, positive, seed
from cnnkern.demo.digits import Digits
from cnnkern.demo.digits import load as load_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console

__all__ = [
    "Field",
    "UsageError",
    "accuracy",
    "batches",
    "console",
    "digits",
    "fields",
    "figure",
    "launch",
    "make_parser",
    "positive",
    "print_table",
    "save",
    "sheet",
    "train",
]

NEEDED = ("matplotlib", "mlxtend", "rich")
FORMATS = ("png", "pdf", "svg")
WIDTH = 110  # of tables, where the output is no terminal


def make_parser(story: str | None, picture: str) -> Parser:
    """Returns a parser with --output, --seed and --threads.

    Args:
        story: the example's docstring.
        picture: the default of --output.
    """
    parser = Parser(
        description=story, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(picture),
        help="the picture: .png, .pdf or .svg (%(default)s)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="(%(default)s)")
    parser.add_argument(
        "--threads",
        type=positive,
        default=1,
        help="networks as small as these hardly gain from more (%(default)s)",
    )
    return parser


def launch(
    parser: Parser, run: Callable[[argparse.Namespace], None], arguments: Sequence[str] | None
) -> int:
    """Runs an example and returns its exit code: 2 for what cannot be done, 130 for Ctrl-C."""
    options = parser.parse_args(arguments)
    try:
        check_packages(NEEDED, "demo")
        check_file("--output", options.output, FORMATS)
        torch.set_num_threads(options.threads)
        torch.manual_seed(options.seed)
        run(options)
    except UsageError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


@functools.cache
def digits() -> Digits:
    """Returns 4,000 real digits to train on and 1,000 to test on: (count, 1, 28, 28), 0 to 1."""
    return load_digits()


def batches(count: int, size: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yields the positions of each batch, shuffled anew in each epoch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator).split(size)


def train(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    seed: int,
    batch_size: int = 50,
    rate: float = 2e-3,
) -> list[float]:
    """Trains what is not frozen with Adam on cross entropy; returns each step's loss."""
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=rate)
    losses = []
    for chosen in batches(len(labels), batch_size, epochs, seed):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Returns the share of images whose likeliest class is their label."""
    right: Tensor = network(images).argmax(1) == labels
    return right.float().mean().item()


@dataclass(frozen=True)
class Field:
    """What one position of a feature map sees of the image: ``size`` pixels on each axis, which
    start ``step`` pixels further at each position and ``before`` pixels left of the first one."""

    size: int = 1
    step: int = 1
    before: int = 0

    def after(self, layer: nn.Module) -> Field:
        """Returns the field behind one more layer; only windows widen it.

        Source: 1 + sum of (f_i - 1) times the product of the earlier strides.
        """
        if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            return self

        def number(name: str) -> int:
            value = getattr(layer, name, 1)  # an average pool has no dilation
            return int(value[0] if isinstance(value, tuple) else value)

        return Field(
            self.size + (number("kernel_size") - 1) * number("dilation") * self.step,
            self.step * number("stride"),
            self.before + number("padding") * self.step,
        )

    def start(self, position: int) -> int:
        """Returns the first pixel that a position sees; negative in the padding."""
        return position * self.step - self.before


def fields(layers: Iterable[nn.Module]) -> list[Field]:
    """Returns the field behind each of the layers."""
    found = [Field()]
    for layer in layers:
        found.append(found[-1].after(layer))
    return found[1:]


def console() -> Console:
    """Returns where an example prints."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, soft_wrap=False)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> None:
    """Prints a table whose first columns stand left and whose numbers stand right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index < left else "right")
    for row in rows:
        table.add_row(*map(str, row))
    console().print(table)


def figure(width: float, height: float) -> Figure:
    """Returns an empty picture, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")


def sheet(axes: Axes, maps: Tensor, columns: int, title: str = "", **options: Any) -> None:
    """Draws equally large maps ``(count, height, width)`` side by side, without a frame.

    Args:
        axes: where.
        maps: of any range; ``vmin`` and ``vmax`` in the options fix one.
        columns: how many stand in a row.
        title: what stands above.
        options: of matplotlib's imshow.
    """
    from cnnkern.demo.picture import mosaic, show

    show(axes, mosaic(maps.detach(), columns), **options)
    axes.set_title(title)
    axes.set_anchor("NW")


def save(draw: Callable[[], Figure], path: Path) -> None:
    """Draws a picture in the project's style, writes it and says where it is."""
    import matplotlib as mpl

    from cnnkern.benchmark.style import STYLE

    with mpl.rc_context(STYLE):
        draw().savefig(path)
    console().print(f"Picture: {path}", soft_wrap=True)
