# SPDX-License-Identifier: BSD-3-Clause
"""What a report says of a device beyond its suites: where time is lost, what other settings change,
whole networks, memory, accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import _C
from . import units
from .beyond_suites import accuracy_lines, memory_lines, network_lines
from .heading import device_of, memory_line, torch_asks
from .lost_time import CLASSES, losses, sums
from .markdown import code, table
from .measure import ELEMENT_BYTES, LARGE_BYTES
from .results import Result, Row
from .summary import DIRECTIONS, layers_of, summarise

__all__ = ["accuracy", "lost_time", "measured_otherwise", "memory", "networks"]

MOST = 20
FORMATS = ("contiguous", "channels_last")


def lost_time(rows: Sequence[Row], peer: str) -> Iterator[str]:
    """Sums by class of layer, then the layers that lose most."""
    found = [loss for loss in losses(rows) if loss.row.algorithm == "auto"]
    if not found:
        return
    yield "### Where time is lost"
    yield (
        "Our median less the bound, summed over the distinct problems of all suites: what is to be "
        f"won. Classes exclude each other in the order {', '.join(CLASSES)}."
    )
    by_class = sums(found)
    places = [
        (direction, format)
        for direction in DIRECTIONS
        for format in FORMATS
        if any((direction, format) in lost for lost in by_class.values())
    ]
    total = {place: sum(lost.get(place, 0) for lost in by_class.values()) for place in places}
    head = ["class", *(f"{direction}, {format}" for direction, format in places), "all"]
    yield table(
        head,
        [
            [kind, *(units.time(lost[place]) if place in lost else "-" for place in places)]
            + [f"**{units.time(sum(lost.values()))}**"]
            for kind, lost in {**by_class, "all": total}.items()
        ],
    )
    yield f"The {min(MOST, len(found))} of {len(found):,} that lose most:"
    head = ["layer", "problem", "direction", "class", "lost", "ours", "bound", "by", peer]
    yield table(
        head,
        [
            [f"{r.suite} {code(r.name)}", code(r.problem), r.direction, loss.kind]
            + [f"**{units.time(loss.lost_us)}**", units.time(r.us.median), units.time(r.floor_us)]
            + [r.bound, _peers_time(r, peer)]
            for loss in found[:MOST]
            for r in [loss.row]
        ],
    )


def _peers_time(row: Row, peer: str) -> str:
    # The ratio of the same rounds, so that what slowed both down cancels.
    ratio = row.ratio(peer).median if row.times_us.get(peer) else math.nan
    return units.time(row.us.median * ratio) if math.isfinite(ratio) else "-"


def measured_otherwise(
    name: str, results: Sequence[Result], rows: Sequence[Row], peer: str
) -> Iterator[str]:
    """What another setting changes: ratios of the rows that were measured with both.

    A folder without any such row has layers of no suite: a line for each.

    Args:
        name: of the setting, as the folder has it.
        results: measured with it.
        rows: measured without.
        peer: to whose times ours are compared.
    """
    usual = {_key(row): row for row in rows if _compared(row, peer)}
    other = {
        _key(row): row
        for result in results
        for row in result.rows
        if _compared(row, peer) and _key(row) in usual
    }
    if not other:
        yield from _layers_besides(name, results, peer)
        return
    yield f"### Measured otherwise: {name}"
    settings = [(device_of(result), memory_line(result)) for result in results]
    yield "; ".join(dict.fromkeys(part for pair in settings for part in pair if part))
    lines = []
    before = summarise(_in_one(usual[key] for key in other), peer)
    after = summarise(_in_one(other.values()), peer)
    for old, new in zip(before, after, strict=True):
        lines.append(
            [new.layers, new.dtype, new.format, new.direction, str(new.count)]
            + [f"**{units.ratio(new.mean)}**", units.ratio(new.least)]
            + [f"**{units.ratio(old.mean)}**", units.ratio(old.least)]
        )
    ratio = f"{peer} / ours"
    head = ["layers", "dtype", "format", "direction", "rows", ratio, "worst", f"{ratio} above"]
    yield table([*head, "worst above"], lines)
    large = [key for key, row in other.items() if result_bytes(row) >= LARGE_BYTES]
    if large and any(map(torch_asks, results)):
        told = f"Rows whose result has {units.binary(LARGE_BYTES)} or more, {ratio} as above and"
        yield f"{told} with huge pages for both:"
        yield table(
            ["layer", "direction", "format", "ours", "as above", "with huge pages"],
            [
                [f"{row.suite} {code(row.name)}", row.direction, row.format]
                + [units.time(row.us.median), units.ratio(usual[key].ratio(peer).median)]
                + [f"**{units.ratio(row.ratio(peer).median)}**"]
                for key in large
                for row in [other[key]]
            ],
        )


def _layers_besides(name: str, results: Sequence[Result], peer: str) -> Iterator[str]:
    rows = [row for result in results for row in result.rows if _compared(row, peer)]
    if not rows:
        return
    yield f"### Measured besides: {name}"
    ratios = [row.ratio(peer).median for row in rows]
    mean = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
    yield f"Rows: {len(rows)}; {peer} / ours: {units.ratio(mean)} in the geometric mean."
    yield table(
        ["problem", "direction", "ours", f"{peer} / ours", "of bound"],
        [
            [code(row.problem), row.direction, units.time(row.us.median)]
            + [f"**{units.ratio(ratio)}**", units.percent(row.floor_us / row.us.median)]
            for row, ratio in zip(rows, ratios, strict=True)
        ],
    )


def result_bytes(row: Row) -> int:
    """Of what a row computes; of a max pool with its argmax the values alone."""
    problem = _C.parse(row.problem)
    size: Sequence[int] = problem.output_size
    if row.direction == "input_grad":
        size = problem.input_size
    elif row.direction == "weight_grad" and isinstance(problem, _C.ConvProblem):
        size = problem.weight_size
    return math.prod(size) * ELEMENT_BYTES[row.dtype]


def _key(row: Row) -> tuple[str, ...]:
    return row.suite, row.name, row.problem, row.direction, row.algorithm


def _compared(row: Row, peer: str) -> bool:
    return row.verdict == "passed" and row.timed and bool(row.times_us.get(peer))


def _in_one(rows: Iterable[Row]) -> list[Row]:
    """Rows as of one suite, in an order that does not hang on theirs."""
    some = sorted(rows, key=lambda row: (layers_of(row), row.dtype, row.algorithm))
    return [replace(row, suite="") for row in some]


def networks(data: Mapping[str, Any]) -> Iterator[str]:
    """Whole networks, as benchmarks/network_times.py measured them."""
    yield "### Whole networks"
    yield _settings(data)
    yield table(*network_lines(data))


def memory(data: Mapping[str, Any]) -> Iterator[str]:
    """Peak memory, as benchmarks/memory.py measured it."""
    yield "### Memory"
    yield _settings(data)
    yield table(*memory_lines(data))


def accuracy(data: Mapping[str, Any]) -> Iterator[str]:
    """Errors, as benchmarks/accuracy.py found them."""
    yield "### Accuracy"
    yield _settings(data)
    head, lines = accuracy_lines(data)
    yield table(head, [[*line[:-1], code(line[-1])] for line in lines])


def _settings(data: Mapping[str, Any]) -> str:
    result = Result(data["machine"], data["settings"], {})
    return "; ".join(filter(None, [data["about"], device_of(result), memory_line(result)]))
