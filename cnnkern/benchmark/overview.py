# SPDX-License-Identifier: BSD-3-Clause
"""Committed results as text: all of them in one file, and the short table of a README."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import beyond_suites, sections, units
from .heading import busy_line, date_of, device_of, memory_line
from .markdown import code, table
from .results import Result, Row, read_result
from .summary import DIRECTIONS, Group, count_verdicts, summarise

__all__ = ["Device", "between_markers", "overview", "read_devices", "speed"]

FORMATS = ("contiguous", "channels_last")
IN_WORDS = {
    "forward": "forward",
    "forward_argmax": "with argmax",
    "input_grad": "input gradient",
    "weight_grad": "weight gradient",
}
WORST = 10
BEYOND = "beyond_suites"
START, END = "<!-- speed -->", "<!-- /speed -->"


@dataclass(frozen=True)
class Device:
    """The results of one device: a folder with a file for each suite.

    ``otherwise`` are results of its folders but ``beyond_suites``: what was measured with another
    setting, which is the folder's name. ``beyond`` are the files of that one.
    """

    folder: str
    results: list[Result]
    otherwise: dict[str, list[Result]] = field(default_factory=dict)
    beyond: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [row for result in self.results for row in result.rows]

    @property
    def name(self) -> str:
        return _all(device_of(result) for result in self.results)

    @property
    def dates(self) -> str:
        days = sorted({date_of(result, hours=False) for result in self.results} - {""})
        return " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))

    def versions(self, *names: str) -> str:
        found = [(n, _all(str(r.machine.get(n) or "") for r in self.results)) for n in names]
        return ", ".join(f"{name} {value}" for name, value in found if value)


def read_devices(folder: Path) -> list[Device]:
    """Reads ``folder/<device>/*.json`` and the folders beside these, devices and files by name.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is no result, of another version or of an interrupted run, or two of one
            device have the same row; one line.
    """
    devices = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        results = _read_results(place)
        if not results:
            continue
        device = Device(place.name, results)
        for part in sorted(path for path in place.iterdir() if path.is_dir()):
            if part.name == BEYOND:
                device.beyond.update((p.stem, beyond_suites.read(p)) for p in part.glob("*.json"))
            else:
                device.otherwise[part.name] = _read_results(part)
        devices.append(device)
    return devices


def _read_results(place: Path) -> list[Result]:
    results = []
    seen: dict[tuple[str, ...], Path] = {}
    for path in sorted(place.glob("*.json")):
        result = read_result(path)
        if not result.complete:
            raise ValueError(f"'{path}' is of an interrupted run; measure it again")
        for row in result.rows:
            key = (row.suite, row.name, row.problem, row.direction, row.algorithm)
            if seen.setdefault(key, path) != path:
                raise ValueError(
                    f"'{path}' and '{seen[key]}' both have {row.suite} {row.name} "
                    f"{row.direction}; keep one"
                )
        results.append(result)
    return results


def overview(devices: Sequence[Device], peer: str = "torch") -> str:
    """All results, device by device and suite by suite, as Markdown.

    Args:
        devices: what :func:`read_devices` read.
        peer: to whose times ours are compared.
    """
    parts = [
        "<!-- Made by benchmarks/report.py (make report) from benchmarks/results. -->",
        "# Benchmarks",
        f"Each number is {peer}'s time divided by ours on the same tensors, both called in turn in "
        "one process: above 1 cnnkern is faster. A line is the geometric mean over the layers of "
        "a suite, and the layer that did worst. *of bound* is the time that the layer's FLOPs or "
        "bytes need at least, at the rates measured in the same run, as a share of ours: 100 % is "
        "the limit of the machine. Rows that did not pass are counted, not timed.",
    ]
    if not devices:
        parts.append("No results yet: `cnnkern bench --json benchmarks/results/<device>`.")
    for device in devices:
        parts += _device(device, peer)
    return "\n\n".join(parts) + "\n"


def speed(devices: Sequence[Device], peer: str = "torch") -> str:
    """The short tables of a README, for each device: convolutions, then pools, as Markdown.

    Args:
        devices: what :func:`read_devices` read.
        peer: to whose times ours are compared.
    """
    parts = []
    for device in devices:
        dtypes = ", ".join(dict.fromkeys(row.dtype for row in device.rows))
        versions = device.versions("cnnkern", peer)
        parts.append(
            f"{device.name}; {', '.join(filter(None, [versions, device.dates]))}; {dtypes}; "
            f"{peer}'s time divided by ours:"
        )
        groups = summarise(device.rows, peer)
        for layers, title in (("convolutions", "suite"), ("pools", "pools of")):
            some = [group for group in groups if group.layers == layers]
            if some:
                parts.append(_short_table(some, title))
        bad = {v: n for v, n in count_verdicts(device.rows).items() if v != "passed"}
        if bad:
            counts = ", ".join(f"{n} {v}" for v, n in bad.items())
            told = f"{sum(bad.values()):,} of {len(device.rows):,} rows did not pass: {counts}."
            parts.append(told)
        parts += _batches(device)
    return "\n\n".join(parts)


def between_markers(text: str, new: str) -> str:
    """Puts a text between the markers of another.

    Raises:
        ValueError: a marker is missing, or the last comes first.

    Example:
        >>> between_markers("a <!-- speed -->old<!-- /speed --> z", "new")
        'a <!-- speed -->\\n\\nnew\\n\\n<!-- /speed --> z'
    """
    start, end = text.find(START), text.find(END)
    if not 0 <= start < end:
        raise ValueError(f"expected {START} and, after it, {END}; one is missing")
    return f"{text[: start + len(START)]}\n\n{new}\n\n{text[end:]}"


def _device(device: Device, peer: str) -> Iterable[str]:
    yield f"## {device.name}"
    versions = device.versions("cnnkern", "commit", "torch", "cuda", "cudnn", "driver", "python")
    yield "; ".join(filter(None, [versions, device.dates]))
    yield from filter(None, [_all(map(memory_line, device.results)), _limits(device)])
    busy = [suite for result in device.results if busy_line(result) for suite in _suites(result)]
    if busy:
        yield f"Measured while other programs ran, so with noise: {', '.join(busy)}."
    counts = ", ".join(f"{n:,} {v}" for v, n in count_verdicts(device.rows).items())
    yield f"{len(device.rows):,} rows: {counts}."
    yield from _batches(device)
    groups = summarise(device.rows, peer)
    for suite in dict.fromkeys(group.suite for group in groups):
        yield f"### {suite}"
        yield _suite_table([group for group in groups if group.suite == suite], peer)
    worst = _worst(device.rows, peer)
    if worst:
        yield f"### Where we lose to {peer} most"
        yield worst
    yield from sections.lost_time(device.rows, peer)
    for name, results in device.otherwise.items():
        yield from sections.measured_otherwise(name, results, device.rows, peer)
    beyond = {
        "networks": sections.networks,
        "memory": sections.memory,
        "accuracy": sections.accuracy,
    }
    for name, show in beyond.items():
        if name in device.beyond:
            yield from show(device.beyond[name])


def _batches(device: Device) -> Iterable[str]:
    """Where a run changed the suites' own batches."""
    for result in device.results:
        if batch := result.settings.get("batch"):
            yield f"In batches of {batch} in place of their own: {', '.join(_suites(result))}."


def _suites(result: Result) -> list[str]:
    return list(dict.fromkeys(row.suite for row in result.rows))


def _limits(device: Device) -> str:
    """The range over the runs of what each measured of the machine."""
    flops: dict[str, list[float]] = {}
    copies: dict[int, list[float]] = {}
    for result in device.results:
        for dtype, rate in result.limits.get("flops", {}).items():
            flops.setdefault(dtype, []).append(rate)
        for touched, rate in result.limits.get("copy", []):
            copies.setdefault(int(touched), []).append(rate)
    parts = [f"{dtype} {_range(rates, 'FLOP/s')}" for dtype, rates in flops.items()]
    parts += [
        f"copy of {units.binary(touched)} {_range(rates, 'B/s')}"
        for touched, rates in sorted(copies.items())
    ]
    return f"Limits, measured in each run: {'; '.join(parts)}." if parts else ""


def _range(values: Sequence[float], unit: str) -> str:
    ends = [units.decimal(value, unit) for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def _suite_table(groups: Sequence[Group], peer: str) -> str:
    varying = [
        name
        for name in ("layers", "dtype", "algorithm")
        if len({getattr(group, name) for group in groups}) > 1
    ]
    head = [*varying, "format", "direction", f"{peer} / ours", "worst", "which is", "of bound"]
    lines = []
    for group in groups:
        verdicts = ", ".join(f"{n} {v}" for v, n in group.verdicts.items())
        lines.append(
            [*(getattr(group, name) for name in varying), group.format, group.direction]
            + [f"**{units.ratio(group.mean)}**", units.ratio(group.least), code(group.least_name)]
            + [units.percent(group.share), verdicts]
        )
    return table([*head, "verdicts"], lines)


def _worst(rows: Sequence[Row], peer: str) -> str:
    compared = [
        row for row in rows if row.verdict == "passed" and row.timed and row.times_us.get(peer)
    ]
    slower = [(row.ratio(peer), row) for row in compared if row.ratio(peer).median < 1]
    lines = []
    for ratio, row in sorted(slower, key=lambda pair: pair[0].median)[:WORST]:
        lines.append(
            [row.suite, row.name, code(row.problem), row.direction, row.plan]
            + [f"**{units.ratio(ratio.median)}**", units.span(ratio), units.time(row.us.median)]
        )
    if not lines:
        return ""
    head = ["suite", "layer", "problem", "direction", "plan", f"{peer} / ours", "range", "ours"]
    told = f"{len(slower):,} of {len(compared):,} rows are slower than {peer}'s"
    told += f"; the {len(lines)} slowest:" if len(slower) > len(lines) else ":"
    return f"{told}\n\n{table(head, lines)}"


def _short_table(groups: Sequence[Group], title: str) -> str:
    """A line for each suite and dtype, a column for each direction and format."""
    places = sorted(
        {(group.format, group.direction) for group in groups},
        key=lambda place: (FORMATS.index(place[0]), DIRECTIONS.index(place[1])),
    )
    lines: dict[str, dict[tuple[str, str], str]] = {}
    for group in groups:
        if group.algorithm != "auto":
            continue
        dtypes = {other.dtype for other in groups}
        name = group.suite + (f", {group.dtype}" if len(dtypes) > 1 else "")
        value = f"{units.ratio(group.mean)} ({units.ratio(group.least)})"
        lines.setdefault(name, {})[group.format, group.direction] = (
            "-" if math.isnan(group.mean) else value
        )
    head = [title] + [
        IN_WORDS[direction] + (f", {format}" if format != FORMATS[0] else "")
        for format, direction in places
    ]
    return table(
        head, [[name, *(of.get(place, "-") for place in places)] for name, of in lines.items()]
    )


def _all(values: Iterable[str]) -> str:
    """What results share, or each value of what they do not."""
    return " and ".join(dict.fromkeys(filter(None, values)))
