# SPDX-License-Identifier: BSD-3-Clause
"""A result as one HTML file that needs nothing else: tables to sort and filter, and a roofline."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from . import units
from .files import write_whole
from .heading import busy_line, limits_line, machine_lines, settings_line
from .results import OURS, Result, Row
from .roofline import ceilings, points, slopes
from .summary import DIRECTIONS, Group, summarise

__all__ = ["write_page"]

MARKS = {"passed": "✓", "untrustworthy": "?", "failed": "✗", "refused": "–"}
FILTERS = ("suite", "direction", "format", "verdict")


@dataclass(frozen=True)
class Cell:
    """A cell of the table: what it shows, in small print below, and what it is sorted by."""

    text: str
    small: str = ""
    value: float | str | None = None
    tone: str = ""  # better or worse
    note: str = ""  # why a row did not pass


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    title: str
    cell: Callable[[Row], Cell]
    number: bool = True


def write_page(result: Result, path: Path) -> None:
    """Writes a result as one HTML file that opens from disk, without a network.

    Args:
        result: of any suites.
        path: the file; what is there is replaced.

    Raises:
        OSError: it cannot be written.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    columns = _columns(result.rows)
    rows = [(row, [column.cell(row) for column in columns]) for row in result.rows]
    peers = _peers(result.rows)
    write_whole(
        path,
        template.render(
            lines=machine_lines(result),
            busy=busy_line(result),
            settings=settings_line(result),
            limits=limits_line(result),
            facts=_facts(result),
            summaries=[
                (peer, layers, _pivot(groups))
                for peer in peers
                for layers, groups in _by_layers(summarise(result.rows, peer)).items()
            ],
            columns=columns,
            rows=rows,
            widths=_widths(columns, [cells for _, cells in rows]),
            choices={name: _values(result.rows, name) for name in FILTERS},
            data=_json(_roofline(result, peers)),
            plotly=Markup(get_plotlyjs()),
        ),
    )


def _columns(rows: Sequence[Row]) -> list[Column]:
    """What matters most first: a phone shows three of them."""
    several = [name for name in ("suite", "format", "dtype") if len(_values(rows, name)) > 1]
    asked = len(_values(rows, "algorithm")) > 1
    return [
        Column("layer", _layer, number=False),
        Column("direction", _text("direction"), number=False),
        *(Column(f"{peer} / ours", _ratio(peer)) for peer in _peers(rows)),
        Column("time", _time),
        Column("of bound", _share),
        Column("verdict", lambda row: Cell(_verdict(row.verdict), "", row.verdict), number=False),
        Column("rate", _rate),
        *(Column(name, _text(name), number=False) for name in several),
        *([Column("asked for", _text("algorithm"), number=False)] if asked else []),
        Column("plan", _text("plan"), number=False),
        Column("workspace", _workspace),
        Column("error / torch's", _error),
    ]


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    """The widths of the columns after the first, for a CSS grid.

    Rows are laid out by a grid and not as those of a table, for a browser can then leave out what
    is not in sight; so nothing but these widths aligns the columns.
    """
    widths = []
    for place, column in enumerate(columns[1:], start=1):
        # The words of a title may stand below each other; the last has the arrow beside it.
        title = max(map(len, f"{column.title}--".split()))
        texts = max((len(cells[place].text) for cells in rows), default=0)
        small = max((len(cells[place].small) * 0.85 for cells in rows), default=0)
        widths.append(f"{max(title * 1.15, texts, small):.1f}ch")
    return " ".join(f"calc({width} + var(--gap))" for width in widths)


def _layer(row: Row) -> Cell:
    note = "" if row.verdict == "passed" else f"{row.verdict}: {row.note}"
    return Cell(f"{MARKS.get(row.verdict, '?')} {row.name}", row.problem, row.name, note=note)


def _verdict(verdict: str) -> str:
    return f"{MARKS.get(verdict, '?')} {verdict}"


def _text(name: str) -> Callable[[Row], Cell]:
    return lambda row: Cell(getattr(row, name) or "-", "", getattr(row, name))


def _time(row: Row) -> Cell:
    if not row.timed:
        return Cell("-")
    small = units.time_span(row.us)
    if OURS in row.warm_us:
        small += f", warm {units.time(row.warm_us[OURS])}"
    return Cell(units.time(row.us.median), small, row.us.median)


def _ratio(peer: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        if not row.timed or not row.times_us.get(peer):
            return Cell("-")
        ratio = row.ratio(peer)
        tone = "better" if ratio.low > 1 else "worse" if ratio.high < 1 else ""
        return Cell(units.ratio(ratio.median), units.span(ratio), ratio.median, tone)

    return cell


def _share(row: Row) -> Cell:
    if not row.timed or row.floor_us <= 0:
        return Cell("-")
    return Cell(units.percent(row.share_of_bound), row.bound, row.share_of_bound)


def _rate(row: Row) -> Cell:
    rate, unit = units.rate(row)
    return Cell(units.decimal(rate, unit), "", rate) if rate else Cell("-")


def _workspace(row: Row) -> Cell:
    return Cell(units.binary(row.workspace_bytes), "", row.workspace_bytes)


def _error(row: Row) -> Cell:
    error = row.error_in_torchs
    return Cell("-") if error is None else Cell(units.three_digits(error), "", error)


def _values(rows: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(getattr(row, name) for row in rows))


def _peers(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(peer for row in rows for peer in row.peers))


def _facts(result: Result) -> list[tuple[str, str]]:
    """Everything that is known of where the result comes from."""
    return [
        (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
        for name, value in [*result.machine.items(), *result.settings.items()]
        if value not in (None, "", [], {})
    ]


def _by_layers(groups: Sequence[Group]) -> dict[str, list[Group]]:
    kinds: dict[str, list[Group]] = {}
    for group in groups:
        kinds.setdefault(group.layers, []).append(group)
    return kinds


def _pivot(groups: Sequence[Group]) -> dict[str, Any]:
    """A line for each suite, a column for each direction and format."""

    def place(group: Group) -> tuple[str, str]:
        return group.format, group.direction

    def line(group: Group) -> str:
        """The suite, with what its groups do not share."""
        others = [other for other in groups if other.suite == group.suite]
        parts = [
            getattr(group, name)
            for name in ("dtype", "algorithm")
            if len({getattr(other, name) for other in others}) > 1
        ]
        return ", ".join([group.suite, *parts])

    def order(key: tuple[str, str]) -> tuple[bool, int]:
        return key[0] == "channels_last", _place(key[1])

    head = sorted({place(group) for group in groups}, key=order)
    lines: dict[str, dict[tuple[str, str], Any]] = {}
    for group in groups:
        others = [f"{count} {v}" for v, count in group.verdicts.items() if v != "passed"]
        lines.setdefault(line(group), {})[place(group)] = {
            **asdict(group),
            "mean": units.ratio(group.mean),
            "least": units.ratio(group.least),
            "share": units.percent(group.share) if math.isfinite(group.share) else "",
            "others": ", ".join(others),
            "tone": "better" if group.mean > 1 else "worse" if group.mean < 1 else "",
        }
    return {"head": head, "lines": lines}


def _place(direction: str) -> int:
    return DIRECTIONS.index(direction) if direction in DIRECTIONS else len(DIRECTIONS)


def _roofline(result: Result, peers: Sequence[str]) -> dict[str, Any]:
    peer = peers[0] if peers else ""
    index = {id(row): number for number, row in enumerate(result.rows)}
    return {
        "peer": peer,
        "directions": sorted(_values(result.rows, "direction"), key=_place),
        "slopes": [
            {**asdict(s), "label": f"{s.name} {units.decimal(s.bytes_per_second, 'B/s')}"}
            for s in slopes(result)
        ],
        "ceilings": ceilings(result),
        "labels": {
            dtype: f"{dtype} {units.decimal(rate, 'FLOP/s')}"
            for dtype, rate in ceilings(result).items()
        },
        "points": [
            {
                "row": index[id(point.row)],
                "direction": point.row.direction,
                "kind": point.kind,
                "x": _short(point.intensity),
                "y": _short(point.rate),
                "peer": _short(point.peer_rate) if point.peer_rate else None,
                "text": _hover(point.row, peer),
            }
            for point in points(result.rows, peer)
        ],
    }


def _hover(row: Row, peer: str) -> str:
    time, ratio, share = _time(row), _ratio(peer)(row), _share(row)
    lines = [
        f"<b>{html.escape(row.suite)} {html.escape(row.name)}</b>, {html.escape(row.direction)}",
        html.escape(row.problem),
        f"{time.text} ({time.small}), {html.escape(row.plan)}",
        f"{html.escape(peer)} / ours {ratio.text} ({ratio.small})" if ratio.small else "",
        f"{share.text} of the bound by {share.small}" if share.small else "",
        "" if row.verdict == "passed" else html.escape(f"{_verdict(row.verdict)}: {row.note}"),
    ]
    return "<br>".join(filter(None, lines))


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no text in it can close the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
