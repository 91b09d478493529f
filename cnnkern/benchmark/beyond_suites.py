# SPDX-License-Identifier: BSD-3-Clause
"""What is measured beyond layers' times, in files and tables: whole networks, memory, accuracy.

A file is one JSON object: ``about`` what its numbers are, ``machine`` and ``settings`` as results
have them, ``rows``, a line each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import units
from .files import write_whole
from .results import Spread, _rounded
from .summary import DIRECTIONS

__all__ = ["accuracy_lines", "memory_lines", "network_lines", "read", "write"]

Lines = tuple[list[str], list[list[str]]]


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    parts = [f'"{key}": {json.dumps(value)}' for key, value in data.items() if key != "rows"]
    rows = ",\n".join(json.dumps(_rounded(row)) for row in data["rows"])
    write_whole(path, "{" + ",\n".join(parts) + f',\n"rows": [\n{rows}\n]}}\n')


def read(path: Path) -> dict[str, Any]:
    """Reads what :func:`write` wrote.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no such file; one line.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is no complete JSON: {error}; measure it again") from None
    if not isinstance(data, dict) or not {"about", "machine", "settings", "rows"} <= set(data):
        raise ValueError(f"'{path}' is not of this version; measure it again")
    return data


def network_lines(data: Mapping[str, Any]) -> Lines:
    """A table of networks: median times, and torch's time / ours with the middle 60 %."""
    lines = []
    for row in data["rows"]:
        times = row["times_us"]
        line = [row["network"], row["what"], row["format"]]
        line.append(units.time(Spread.of(times["torch"]).median))
        for side in ("cnnkern", "fused"):
            if side not in times:
                line += ["-", "-"]
                continue
            pairs = zip(times["torch"], times[side], strict=True)
            ratio = Spread.of([theirs / ours for theirs, ours in pairs])
            line += [units.time(Spread.of(times[side]).median)]
            line += [f"**{units.ratio(ratio.median)}** ({units.span(ratio)})"]
        lines.append(line)
    head = ["network", "what", "format", "torch", "converted", "torch / converted", "fused"]
    return [*head, "torch / fused"], lines


def memory_lines(data: Mapping[str, Any]) -> Lines:
    """A table of suites: the largest peak of a layer, ours / torch's of all peaks together, and the
    layer of which ours is the most beyond torch's."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in data["rows"]:
        groups.setdefault((row["suite"], row["format"], row["direction"]), []).append(row)
    lines = []
    for (suite, format, direction), rows in sorted(groups.items(), key=_place):
        peaks = {name: [row["peaks"][name] for row in rows] for name in ("torch", "cnnkern")}
        beyond = [a - b for a, b in zip(peaks["cnnkern"], peaks["torch"], strict=True)]
        share = sum(peaks["cnnkern"]) / max(1, sum(peaks["torch"]))
        most = max(beyond)
        # A page more or less is no news.
        named = [units.binary(most), rows[beyond.index(most)]["name"]]
        named = named if most >= 1 << 20 else ["-", "-"]
        lines.append(
            [suite, format, direction, str(len(rows))]
            + [units.binary(max(peaks["torch"])), units.binary(max(peaks["cnnkern"]))]
            + [f"**{units.ratio(share)}**", *named]
        )
    head = ["suite", "format", "direction", "layers", "torch's largest", "ours", "ours / torch's"]
    return [*head, "most beyond torch's", "which is"], lines


def accuracy_lines(data: Mapping[str, Any]) -> Lines:
    """A table of algorithms: the largest errors in each direction and type, and where."""
    lines = [
        [row["algorithm"], row["direction"], row["dtype"], f"{row['cases']:,}", str(row["failed"])]
        + [f"**{row['error_in_torchs']:.2f}**", f"{row['share_of_allowed']:.2f}", row["problem"]]
        for row in data["rows"]
    ]
    head = ["algorithm", "direction", "dtype", "problems", "failed", "error / torch's"]
    return [*head, "of allowed", "largest error's problem"], lines


def _place(item: tuple[tuple[str, str, str], Sequence[Any]]) -> tuple[str, bool, int]:
    (suite, format, direction), _ = item
    return suite, format == "channels_last", DIRECTIONS.index(direction)
