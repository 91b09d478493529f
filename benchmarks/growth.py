# SPDX-License-Identifier: BSD-3-Clause
"""How torch's time and ours grow with the batch, the threads and the image: numbers and a picture.

    python benchmarks/growth.py --json growth.json --picture growth.png
    python benchmarks/growth.py --drawn-from growth.json --picture growth.png

Four layers, forward, both called in turn on the same tensors. With its own sizes it takes two
minutes and needs a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from cnnkern.benchmark import beyond_suites  # noqa: E402
from cnnkern.benchmark.case import Case, draw, our_call, peer_call  # noqa: E402
from cnnkern.benchmark.clock import CpuClock  # noqa: E402
from cnnkern.benchmark.heading import busy_line, date_of, device_of, memory_line  # noqa: E402
from cnnkern.benchmark.machine import machine, state  # noqa: E402
from cnnkern.benchmark.results import Result, Spread  # noqa: E402
from cnnkern.benchmark.units import ratio, scaled  # noqa: E402
from cnnkern.cli.checks import check_file, check_packages  # noqa: E402
from cnnkern.cli.parser import Parser, UsageError, launch, seconds  # noqa: E402
from cnnkern.problem import parse  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYERS = {
    "convolution 3x3, 64 to 64": "conv2d {n}x64x{side}x{side} 64x64x3x3 padding=1",
    "convolution 1x1, 64 to 256": "conv2d {n}x64x{side}x{side} 256x64x1x1",
    "depthwise 3x3, 96 channels": "conv2d {n}x96x{side}x{side} 96x1x3x3 padding=1",
    "max pool 3x3 / 2, 64 channels": "max_pool2d {n}x64x{side}x{side} kernel=3 stride=2 padding=1",
}
BATCHES = [1, 2, 4, 8, 16, 32, 64]
SIDES = [32, 64, 128, 256, 512]
SIDE_OF_BATCHES, BATCH_OF_SIDES = 56, 1
FORMATS = ("contiguous", "channels_last")
COLOURS = {"torch": "#d1762b", "cnnkern": "#1f5fa8"}


def numbers(text: str) -> list[int]:
    """An argument: whole numbers of at least 1 with commas between."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}")
    return sorted({int(part) for part in parts})


def parser() -> Parser:
    top = Parser(
        prog="growth.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--json", type=Path, metavar="FILE", help="for the numbers")
    top.add_argument("--picture", type=Path, metavar="FILE", help=".png, .pdf or .svg")
    top.add_argument("--drawn-from", type=Path, metavar="FILE", help="measure nothing: a --json")
    top.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="(%(default)s)")
    top.add_argument("--batches", type=numbers, default=BATCHES, help=f"of {SIDE_OF_BATCHES}x"
                     f"{SIDE_OF_BATCHES} (1 to 64)")  # fmt: skip
    top.add_argument("--images", type=numbers, default=SIDES, help="sides of one (32 to 512)")
    top.add_argument("--threads", type=numbers, default=[1, 2], help="(1,2)")
    top.add_argument("--seconds", type=seconds, default=0.4, help="for each point (%(default)s)")
    return top


def points(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is measured: every layer at every batch and side, on every number of threads."""
    for name, text in LAYERS.items():
        sizes = [("batch", n, n, SIDE_OF_BATCHES) for n in options.batches]
        sizes += [("image", side, BATCH_OF_SIDES, side) for side in options.images]
        for axis, value, n, side in sizes:
            problem = f"{text.format(n=n, side=side)} format={options.format}"
            for threads in options.threads:
                yield {"layer": name, "axis": axis, "value": value, "threads": threads,
                       "problem": str(parse(problem)), "n": n, "side": side}  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    rows = []
    facts = machine("cpu") | {"threads": None, "before": state("cpu")}
    before = torch.get_num_threads()
    found = list(points(options))
    try:
        for number, row in enumerate(found, 1):
            if sys.stderr.isatty():
                print(
                    f"\r{number} of {len(found)}: {row['problem']:90.90}", end="", file=sys.stderr
                )
            torch.set_num_threads(row["threads"])
            problem = parse(row["problem"])
            case = Case(problem, "forward", draw(problem))
            calls = {"torch": peer_call(case), "cnnkern": our_call(case)}
            with torch.no_grad():
                rows.append(row | {"times_us": CpuClock().time(calls, options.seconds)})
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
        torch.set_num_threads(before)
    about = f"forward, {options.format}, medians of calls taken in turn"
    settings = {"format": options.format, "seconds": options.seconds}
    return {"about": about, "machine": facts, "settings": settings, "rows": rows}


def draw_picture(data: dict[str, Any], path: Path) -> None:
    """A column for each layer: time an image against the batch, time a pixel against the side."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from cnnkern.benchmark.style import STYLE

    rows = data["rows"]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.5 * len(layers) + 0.6, 7.2), dpi=130, facecolor="white")
        panels = figure.subplots(2, len(layers), squeeze=False)
        figure.subplots_adjust(left=0.062, right=0.97, top=0.815, bottom=0.14, wspace=0.27,
                               hspace=0.42)  # fmt: skip
        for column, layer in zip(panels.T, layers, strict=True):
            for axes, axis in zip(column, ("batch", "image"), strict=True):
                some = [row for row in rows if (row["layer"], row["axis"]) == (layer, axis)]
                _draw_panel(axes, some, axis)
            column[0].set_title(layer, pad=12)
        panels[0][0].set_ylabel("time an image")
        panels[1][0].set_ylabel("time a pixel")
        _words(figure, data)
        _legend(figure, rows)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_panel(axes: Axes, rows: Sequence[dict[str, Any]], axis: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from cnnkern.benchmark.style import GREY, INK

    most = max((row["threads"] for row in rows), default=1)
    for threads in sorted({row["threads"] for row in rows}):
        some = [row for row in rows if row["threads"] == threads]
        at = [row["value"] for row in some]
        for name, colour in COLOURS.items():
            axes.plot(
                at, [_unit_time(row, name, axis) for row in some], color=colour, marker="o",
                linestyle="-" if threads == most else (0, (4, 2)), linewidth=1.5, markersize=4.2,
                markerfacecolor=colour if threads == most else "white", zorder=3,
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(values := sorted({row["value"] for row in rows}), [str(v) for v in values])
    axes.set_xlabel(
        f"batch of {SIDE_OF_BATCHES}x{SIDE_OF_BATCHES}" if axis == "batch" else "side of one image"
    )
    low, high = axes.get_ylim()
    # At least a decade, so that a tenth looks like one in every panel.
    middle = (low * high) ** 0.5
    axes.set_ylim(min(low, middle / 10**0.5), max(high * 1.3, middle * 10**0.5))
    axes.margins(x=0.11)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _whole(y)))
    for part in (axes.xaxis, axes.yaxis):
        part.set_minor_formatter(NullFormatter())
    axes.grid(True, axis="y", color=GREY, alpha=0.15, linewidth=0.6)
    axes.tick_params(which="both", length=0)
    for row in rows:  # what both lines are to each other at their ends
        if row["threads"] == most and row["value"] in (min(values), max(values)):
            pairs = zip(row["times_us"]["torch"], row["times_us"]["cnnkern"], strict=True)
            text = f"{ratio(Spread.of([a / b for a, b in pairs]).median)}×"
            there = [other for other in rows if other["value"] == row["value"]]
            top = max(_unit_time(other, name, axis) for other in there for name in COLOURS)
            axes.annotate(
                text, (row["value"], top), xytext=(0, 7), textcoords="offset points",
                ha="center", fontsize=8, color=INK, fontweight="bold", zorder=5,
            )  # fmt: skip


def _unit_time(row: dict[str, Any], name: str, axis: str) -> float:
    us = Spread.of(row["times_us"][name]).median
    return us * 1e3 / (row["n"] if axis == "batch" else row["n"] * row["side"] ** 2)


def _whole(ns: float) -> str:
    """A tick's label: ``1 us``, ``10 us``."""
    number, unit = scaled(ns, ("ns", "us", "ms", "s")).split()
    return f"{float(number):g} {unit}"


def _words(figure: Figure, data: dict[str, Any]) -> None:
    from cnnkern.benchmark.style import GREY

    result = Result(data["machine"], data["settings"], {})
    facts = data["machine"]
    versions = [f"{name} {facts[name]}" for name in ("cnnkern", "torch") if facts.get(name)]
    below = [device_of(result), *versions, date_of(result, hours=False), data["about"]]
    told = "A flat line: twice the work takes twice the time. " + busy_line(result)
    figure.text(0.012, 0.975, "How time grows: lower is faster", fontsize=14, fontweight="bold",
                va="top")  # fmt: skip
    figure.text(0.012, 0.935, ", ".join(filter(None, below)), fontsize=9, color=GREY, va="top")
    figure.text(0.012, 0.908, told, fontsize=9, color=GREY, va="top")
    figure.text(0.012, 0.012, memory_line(result), fontsize=8, color=GREY)


def _legend(figure: Figure, rows: Sequence[dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    counts = sorted({row["threads"] for row in rows})
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4.5,
               linestyle="-" if threads == counts[-1] else (0, (4, 2)),
               markerfacecolor=colour if threads == counts[-1] else "white",
               label=f"{name}, {threads} thread{'s' if threads > 1 else ''}")
        for name, colour in COLOURS.items()
        for threads in counts
    ]  # fmt: skip
    handles.append(Line2D([], [], linestyle="none", marker="$2×$", color="black", markersize=10,
                          label=f"torch's time / cnnkern's, {counts[-1]} threads"))  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False,
                  bbox_to_anchor=(0.5, 0.03))  # fmt: skip


def run(options: argparse.Namespace) -> int:
    if not (options.json or options.picture):
        raise UsageError("expected --json, --picture or both")
    if options.picture:
        check_packages(("matplotlib",), "bench")
        check_file("--picture", options.picture, ("png", "pdf", "svg"))
    if options.drawn_from:
        try:
            data = beyond_suites.read(options.drawn_from)
        except (OSError, ValueError) as error:
            raise UsageError(f"--drawn-from: {error}") from None
    else:
        if options.json:
            check_file("--json", options.json, ("json",))
        data = measure(options)
        if options.json:
            beyond_suites.write(options.json, data)
            data = beyond_suites.read(options.json)  # the same picture now and from the file
            print(f"Written: {options.json}")
    if options.picture:
        draw_picture(data, options.picture)
        print(f"Written: {options.picture}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    return launch(parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
