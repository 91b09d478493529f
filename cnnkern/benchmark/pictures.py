# SPDX-License-Identifier: BSD-3-Clause
"""A result as pictures: the roofline of all layers, and the ratios suite by suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

from . import units
from .heading import date_of, device_of
from .results import Result, Row, geometric_mean
from .roofline import KINDS, Point, ceilings, points, slopes
from .style import ACCENT, GREY, INK, STYLE
from .summary import DIRECTIONS, layers_of

__all__ = ["save_pictures", "save_ratios", "save_roofline"]

# Apart from each other in brightness too, for eyes that do not tell red from green.
COLOURS = {
    "forward": "#1f5fa8",
    "forward_argmax": "#57a0d3",
    "input_grad": "#d1762b",
    "weight_grad": "#3d8a5f",
}
MARKERS = {"convolution": "o", "depthwise": "D", "pool": "^"}
FORMATS = ("contiguous", "channels_last")
LANE = 0.21  # inches
MEAN_AT, WORST_AT = 0.7, 0.745  # of the width


def save_pictures(result: Result, folder: Path) -> list[Path]:
    """Writes ``roofline`` and ``ratios``, each as .png and .svg, where there is something to show.

    Args:
        result: of any suites.
        folder: where; made if it is not there.

    Returns:
        The files that were written.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    peers = dict.fromkeys(peer for row in result.rows for peer in row.peers)
    peer = next(iter(peers), "torch")
    written = []
    for name, save, shown in (
        ("roofline", save_roofline, points(result.rows, peer)),
        ("ratios", save_ratios, _compared(result.rows, peer)),
    ):
        for suffix in ("png", "svg") if shown else ():
            path = folder / f"{name}.{suffix}"
            save(result, path, peer)
            written.append(path)
    return written


def _compared(rows: Iterable[Row], peer: str) -> list[Row]:
    return [r for r in rows if r.verdict == "passed" and r.timed and r.times_us.get(peer)]


def save_roofline(result: Result, path: Path, peer: str = "torch") -> None:
    """Writes the roofline of a result: a panel for each memory format.

    Args:
        result: of any suites.
        path: a file whose suffix names the format of the picture.
        peer: whose rates stand beside ours, as hollow marks.

    Raises:
        OSError: it cannot be written.
        ValueError: no row was timed.
    """
    found = points(result.rows, peer)
    if not found:
        raise ValueError("a roofline needs a row that was timed, and this result has none")
    formats = [name for name in FORMATS if any(point.row.format == name for point in found)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.5 * max(1.35, len(formats)), 6.6), dpi=150, facecolor="white")
        panels = figure.subplots(1, len(formats), sharex=True, sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.065, right=0.985, top=0.86, bottom=0.135, wspace=0.05)
        for axes, format in zip(panels, formats, strict=True):
            _draw_points(axes, [point for point in found if point.row.format == format])
            axes.set_title(format)
        _set_scales(panels, found, result)
        for axes in panels:
            _draw_roofs(axes, result)
            axes.set_xlabel("FLOPs a byte")
        panels[0].set_ylabel("FLOP/s")
        _title(figure, "What each layer reaches of what the machine allows", result)
        _roofline_legend(figure, found, peer)
        figure.savefig(path, metadata=_metadata(path))


def _draw_points(axes: Axes, found: Sequence[Point]) -> None:
    for point in found:
        if point.peer_rate:
            axes.plot(
                [point.intensity] * 2, [point.peer_rate, point.rate],
                color=COLOURS.get(point.row.direction, GREY), linewidth=0.6, alpha=0.35, zorder=2,
            )  # fmt: skip
    for direction in _directions(point.row for point in found):
        for kind in KINDS:
            some = [p for p in found if p.row.direction == direction and p.kind == kind]
            look: dict[str, Any] = {"marker": MARKERS[kind], "linestyle": "none"}
            colour = COLOURS.get(direction, GREY)
            with_peer = [p for p in some if p.peer_rate]
            axes.plot(
                [p.intensity for p in with_peer], [p.peer_rate or 0 for p in with_peer], **look,
                markersize=3.2, markerfacecolor="white", markeredgecolor=colour,
                markeredgewidth=0.6, alpha=0.6, zorder=3,
            )  # fmt: skip
            axes.plot(
                [p.intensity for p in some], [p.rate for p in some], **look,
                markersize=4.6, markerfacecolor=colour, markeredgecolor="white",
                markeredgewidth=0.4, zorder=4,
            )  # fmt: skip


def _set_scales(panels: Sequence[Axes], found: Sequence[Point], result: Result) -> None:
    rates = [rate for p in found for rate in (p.rate, p.peer_rate) if rate]
    top = max([*rates, *ceilings(result).values()])
    intensities = [point.intensity for point in found]
    for axes in panels:
        axes.set_xscale("log")
        axes.set_yscale("log")
        # At least two decades, for a tick at each.
        axes.set_xlim(min(min(intensities) / 1.6, max(intensities) / 60), max(intensities) * 2.2)
        axes.set_ylim(min(min(rates) / 1.6, top / 60), top * 2.2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _whole(y)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.grid(True, which="major", color=GREY, alpha=0.15, linewidth=0.6)
        axes.tick_params(which="both", length=0)


def _whole(value: float) -> str:
    """A tick's label: ``1 G``, ``10 G``."""
    number, _, prefix = units.decimal(value).partition(" ")
    return f"{float(number):g} {prefix}".rstrip()


def _draw_roofs(axes: Axes, result: Result) -> None:
    left, right = axes.get_xlim()
    tops = ceilings(result)
    for slope in slopes(result):
        end = min(right, max(tops.values(), default=np.inf) / slope.bytes_per_second)
        start = max(left, axes.get_ylim()[0] / slope.bytes_per_second)
        solid = slope.name == "memory"
        axes.plot(
            [start, end], [start * slope.bytes_per_second, end * slope.bytes_per_second],
            color=INK, linewidth=1.3 if solid else 0.9, linestyle="-" if solid else (0, (5, 3)),
            zorder=1,
        )  # fmt: skip
        corner = (end, end * slope.bytes_per_second)
        axes.annotate(
            f"{slope.name} {units.decimal(slope.bytes_per_second, 'B/s')}", corner,
            xytext=(-4 if slope.name == "cache" else 4, 4), textcoords="offset points",
            ha="right" if slope.name == "cache" else "left", fontsize=8, zorder=5,
        )  # fmt: skip
    steepest = max((slope.bytes_per_second for slope in slopes(result)), default=0.0)
    for dtype, rate in tops.items():
        axes.plot(
            [max(left, rate / steepest if steepest else left), right], [rate] * 2,
            color=INK, linewidth=1.3, zorder=1,
        )  # fmt: skip
        axes.annotate(
            f"{dtype}: {units.decimal(rate, 'FLOP/s')}", (right, rate), xytext=(-2, 3),
            textcoords="offset points", ha="right", fontsize=8, zorder=5,
        )  # fmt: skip


def _roofline_legend(figure: Figure, found: Sequence[Point], peer: str) -> None:
    def handle(label: str, **look: Any) -> Line2D:
        return Line2D([], [], linestyle="none", label=label, **{"marker": "o", **look})

    handles = [
        handle(direction, color=COLOURS.get(direction, GREY), marker="s")
        for direction in _directions(point.row for point in found)
    ]
    kinds = {point.kind for point in found}
    handles += [
        handle(kind, color=GREY, marker=MARKERS[kind], markersize=5)
        for kind in KINDS
        if kind in kinds
    ]
    handles.append(handle("cnnkern", color=INK, markersize=5))
    if any(point.peer_rate for point in found):
        handles.append(handle(peer, markerfacecolor="white", markeredgecolor=INK, markersize=4))
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=9,
        handletextpad=0.2, columnspacing=1.6,
    )  # fmt: skip


def save_ratios(result: Result, path: Path, peer: str = "torch") -> None:
    """Writes the ratios of a result: a strip of points for each suite and direction.

    Args:
        result: of any suites; only rows that passed count.
        path: a file whose suffix names the format of the picture.
        peer: to whose times ours are compared.

    Raises:
        OSError: it cannot be written.
        ValueError: no row of the result has a time of the peer.
    """
    rows = _compared(result.rows, peer)
    if not rows:
        raise ValueError(
            f"ratios need a row that passed and was timed beside {peer}; there is none"
        )
    lanes = _lanes(rows)
    with mpl.rc_context(STYLE):
        height = LANE * (len(lanes) + len({title for title, _ in lanes})) + 1.6
        figure = Figure(figsize=(11, height), dpi=150, facecolor="white")
        axes = figure.add_axes((0.13, 0.85 / height, 0.56, 1 - 1.55 / height))
        _draw_lanes(figure, axes, lanes, peer)
        _title(figure, f"{peer}'s time / ours, layer by layer", result)
        _ratios_legend(figure, rows)
        figure.savefig(path, metadata=_metadata(path))


Lanes = dict[tuple[str, str], list[Row]]


def _lanes(rows: Sequence[Row]) -> Lanes:
    """By suite, with the dtype and the kind of layer where it has several, and direction."""
    suites: dict[str, list[Row]] = {}
    for row in rows:
        suites.setdefault(row.suite, []).append(row)
    by_title: dict[str, list[Row]] = {}
    for suite, of_suite in suites.items():
        dtypes, kinds = {row.dtype for row in of_suite}, {layers_of(row) for row in of_suite}
        # The convolutions of a suite together, then its pools.
        for row in sorted(of_suite, key=layers_of):
            parts = [suite, row.dtype if len(dtypes) > 1 else ""]
            parts.append(layers_of(row) if len(kinds) > 1 else "")
            by_title.setdefault(", ".join(filter(None, parts)), []).append(row)
    return {
        (title, direction): [row for row in some if row.direction == direction]
        for title, some in by_title.items()
        for direction in _directions(some)
    }


def _draw_lanes(figure: Figure, axes: Axes, lanes: Lanes, peer: str) -> None:
    # Columns of text keep their place on the page, rows follow the lanes.
    across: Any = blended_transform_factory(figure.transFigure, axes.transData)
    labels = {}
    place, before = 0, ""
    for (title, direction), rows in lanes.items():
        if title != before:
            axes.text(0.012, place, title, transform=across, va="center", fontweight="bold")
            place += 1
        _draw_lane(axes, place, rows, peer, across)
        labels[place] = direction
        place, before = place + 1, title
    for x, text in ((MEAN_AT, "mean"), (WORST_AT, "worst layer")):
        axes.text(x, 0, text, transform=across, va="center", color=GREY, fontsize=8)
    axes.set_yticks(list(labels), list(labels.values()))
    axes.set_ylim(place - 0.3, -0.4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.axvline(1, color=INK, linewidth=1)
    axes.grid(True, axis="x", color=GREY, alpha=0.15, linewidth=0.6)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"below 1 slower than {peer}, above 1 faster")


def _draw_lane(axes: Axes, place: int, rows: Sequence[Row], peer: str, across: Any) -> None:
    colour = COLOURS.get(rows[0].direction, GREY)
    ratios = [row.ratio(peer).median for row in rows]
    for row, ratio in zip(rows, ratios, strict=True):
        hollow = row.format != "contiguous"
        axes.plot(
            ratio, place + (0.17 if hollow else -0.17), marker="o", markersize=3.6,
            markerfacecolor="white" if hollow else colour, markeredgecolor=colour,
            markeredgewidth=0.7, alpha=0.75, zorder=3,
        )  # fmt: skip
    mean, least = geometric_mean(ratios), min(ratios)
    axes.plot([mean] * 2, [place - 0.42, place + 0.42], color=INK, linewidth=2.2, zorder=4)
    worst = rows[ratios.index(least)]
    text = f"{units.ratio(least)} {'●' if worst.format == 'contiguous' else '○'} {worst.name}"
    for x, part, weight in (
        (MEAN_AT, units.ratio(mean), "bold"),
        (WORST_AT, text if len(text) < 42 else f"{text[:40]}…", "normal"),
    ):
        axes.text(x, place, part, transform=across, va="center", fontsize=8, fontweight=weight)


def _ratios_legend(figure: Figure, rows: Sequence[Row]) -> None:
    formats = {row.format for row in rows}
    handles = [
        Line2D([], [], linestyle="none", marker="o", markersize=5, markeredgecolor=ACCENT,
               markerfacecolor=ACCENT if format == "contiguous" else "white", label=format)
        for format in FORMATS
        if format in formats
    ]  # fmt: skip
    handles.append(
        Line2D([], [], linestyle="none", marker="|", markersize=11, markeredgewidth=2.2,
               color=INK, label="geometric mean")
    )  # fmt: skip
    figure.legend(
        handles=handles, loc="lower right", ncols=3, frameon=False, bbox_to_anchor=(0.99, 0)
    )


def _directions(rows: Iterable[Row]) -> list[str]:
    found = {row.direction for row in rows}
    return [*(d for d in DIRECTIONS if d in found), *sorted(found.difference(DIRECTIONS))]


def _title(figure: Figure, text: str, result: Result) -> None:
    machine = result.machine
    versions = [f"{name} {machine[name]}" for name in ("cnnkern", "torch") if machine.get(name)]
    below = ", ".join(filter(None, [device_of(result), *versions, date_of(result, hours=False)]))
    inch = 1 / figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.16 * inch, text, fontsize=13, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.44 * inch, below, fontsize=9, color=GREY, va="top")


def _metadata(path: Path) -> dict[str, Any] | None:
    # Without the moment of writing, so that the same result gives the same file.
    return {"Date": None} if path.suffix == ".svg" else None
