# SPDX-License-Identifier: BSD-3-Clause
"""What a benchmark measured, as tables for the terminal.

A table fits the width that it gets: what matters least is left out first, and the line below says
what that was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from . import units
from .heading import limits_line, machine_lines
from .results import OURS, Row
from .summary import Group

if TYPE_CHECKING:
    from .changes import Change
    from .profile import ProfiledLayer

__all__ = [
    "changes_table",
    "limits_line",
    "machine_lines",
    "plain_table",
    "profile_table",
    "rows_table",
    "summary_table",
]

MARKS = {
    "passed": ("✓", "green"),
    "untrustworthy": ("?", "yellow"),
    "failed": ("✗", "bold red"),
    "refused": ("–", "yellow"),
}
CHANGE_MARKS = {
    "faster": ("▲", "green"),
    "slower": ("▼", "bold red"),
    "same": ("=", "dim"),
    "fails": ("✗", "bold red"),
    "new": ("+", "cyan"),
    "gone": ("–", "yellow"),
}
PLAIN = ""
GAP = 2  # between two columns
LEAST_WIDTH = 8  # of a column that shrinks


@dataclass(frozen=True)
class Column:
    """A column of rows: its cells, and how soon it is left out where the table is too wide."""

    title: str
    cell: Callable[[Any], Text | str]
    right: bool = True
    leave_out: int = 0  # the highest first; 0 never
    name: str = ""  # in the line that says what was left out
    shrinks: bool = False  # where leaving out does not suffice


class FittedTable:
    """A table in titled sections that leaves out columns until it fits the console."""

    def __init__(
        self,
        columns: Sequence[Column],
        sections: Sequence[tuple[str, Sequence[Any]]],
        notes: Sequence[Text] = (),
    ) -> None:
        self._columns = columns
        self._sections = sections
        self._notes = notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = list(self._columns)
        left_out: list[str] = []
        while self._width(columns) > options.max_width:
            candidate = max(columns, key=lambda column: column.leave_out)
            if not candidate.leave_out:
                break
            columns.remove(candidate)
            left_out.append(candidate.name or candidate.title.replace("\n", " "))
        spare = options.max_width - self._width(columns)
        for title, rows in self._sections:
            yield Text(f"\n{title}" if title else "", style="bold")
            yield self._table(columns, rows, spare)
        yield Text()
        if left_out:
            yield Text(f"Not shown at this width: {', '.join(left_out)}", style="dim")
        yield from self._notes

    def _cells(self, column: Column) -> Iterable[Text | str]:
        return (column.cell(row) for _, rows in self._sections for row in rows)

    def _column_width(self, column: Column) -> int:
        """One for all sections, so that their columns stand below each other."""
        parts = column.title.split("\n")
        texts = (cell.plain if isinstance(cell, Text) else cell for cell in self._cells(column))
        return max(map(cell_len, [*parts, *texts]))

    def _width(self, columns: Sequence[Column]) -> int:
        return sum(map(self._column_width, columns)) + GAP * (len(columns) - 1)

    def _table(self, columns: Sequence[Column], rows: Sequence[Any], spare: int) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0)
        )
        for column in columns:
            width = self._column_width(column)
            if column.shrinks and spare < 0:
                width = max(LEAST_WIDTH, width + spare)
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                width=width,
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in rows:
            table.add_row(*(column.cell(row) for column in columns))
        return table


def rows_table(
    rows: Sequence[Row],
    peers: Sequence[str] | None = None,
) -> FittedTable:
    """The rows of a result, suite by suite.

    Rows that differ in format, dtype or the algorithm that was asked for stand in sections of
    their own, each with its title.

    Args:
        rows: in the order in which they are shown within their section.
        peers: the names to whose times ours are compared; by default all that were timed.

    Returns:
        What a rich console prints, in as many columns as its width has room for.
    """
    if peers is None:
        peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    sections = _sections(rows)
    repeated = {
        id(row) for _, some in sections for before, row in pairwise(some) if before.name == row.name
    }
    columns = [
        Column("verdict", _verdict, right=False),
        Column(
            "layer",
            lambda row: "" if id(row) in repeated else Text(row.name),
            right=False,
            shrinks=True,
        ),
        Column("direction", lambda row: row.direction, right=False),
        Column("plan", lambda row: row.plan or "-", right=False),
        Column("time", lambda row: units.time(row.us.median) if row.timed else "-"),
        Column("low-high", _time_span, leave_out=5, name="range of the time"),
    ]
    if any(row.warm_us for row in rows):
        columns.append(Column("warm", _warm, leave_out=6, name="time with a warm L2"))
    for index, peer in enumerate(peers):
        columns += [
            Column(f"{peer}\n/ ours", _ratio(peer), leave_out=1 if index else 0),
            Column("low-high", _ratio_span(peer), leave_out=6 if index else 4,
                   name=f"range of {peer} / ours"),
        ]  # fmt: skip
    columns += [
        Column("of bound", _bound, name="share of the bound", leave_out=2),
        Column("rate", _rate, leave_out=7),
        Column("workspace", lambda row: units.binary(row.workspace_bytes), leave_out=8),
        Column("error /\ntorch's", _error, name="error / torch's", leave_out=3),
        Column("problem", lambda row: Text(row.problem), right=False, leave_out=9),
    ]
    return FittedTable(columns, sections, list(_notes(rows)))


def summary_table(groups: Sequence[Group]) -> FittedTable:
    """Geometric means and worst layers, as :func:`~cnnkern.benchmark.summary.summarise` finds them.

    Args:
        groups: of one peer or several.
    """
    columns = [
        Column("suite", lambda group: Text(group.suite), right=False),
        Column("direction", _attribute("direction"), right=False),
    ]
    for name in ("layers", "format", "dtype", "algorithm", "peer"):
        if len({getattr(group, name) for group in groups}) > 1:
            columns.append(Column(name, _attribute(name), right=False))
    peers = {group.peer for group in groups}
    ratio = f"{peers.pop()}\n/ ours" if len(peers) == 1 else "peer\n/ ours"
    columns += [
        Column(ratio, lambda group: _coloured(group.mean, group.mean, group.mean)),
        Column("worst", lambda group: _coloured(group.least, group.least, group.least)),
        Column("which is", lambda group: Text(group.least_name or "-"), right=False),
        Column("of bound", lambda group: units.percent(group.share), leave_out=1),
        Column("verdicts", _verdicts, right=False, leave_out=2),
    ]
    sections = [("", list(groups))]
    note = Text("Geometric means over the layers of a suite; above 1 ours is faster.", style="dim")
    return FittedTable(columns, sections, [note])


def changes_table(changes: Sequence[Change]) -> FittedTable:
    """What differs between two results, as :func:`~cnnkern.benchmark.changes.compare` finds it.

    Args:
        changes: in the order in which they are shown.
    """
    ratios = any(change.peer for change in changes)
    tensors = len({_tensors(change.problem) for change in changes}) > 1
    columns = [
        Column("verdict", _change_verdict, right=False),
        Column("suite", lambda change: Text(change.suite), right=False, leave_out=1),
        Column("layer", lambda change: Text(change.name), right=False, shrinks=True),
        Column("direction", _attribute("direction"), right=False),
    ]
    if tensors:
        columns.append(Column("tensors", lambda c: _tensors(c.problem), right=False))
    if ratios:
        columns.append(Column("ratio to", lambda c: c.peer or "-", right=False, leave_out=2))
    columns += [
        Column("before", lambda change: _change_value(change, change.before)),
        Column("low-high", lambda change: _change_span(change, change.before), leave_out=4,
               name="range before"),
        Column("after", lambda change: _change_value(change, change.after)),
        Column("low-high", lambda change: _change_span(change, change.after), leave_out=3,
               name="range after"),
        Column("times as\nfast", lambda c: units.ratio(c.factor) if _both(c) else "-"),
        Column("p", lambda c: f"{c.p_value:.2g}" if _both(c) else "-", leave_out=5),
    ]  # fmt: skip
    return FittedTable(columns, [("", list(changes))])


def profile_table(layers: Sequence[ProfiledLayer]) -> FittedTable:
    """A model's layers, as :func:`~cnnkern.benchmark.profile.profile` measures them.

    Args:
        layers: in the order in which they are shown.
    """
    peers = list(dict.fromkeys(peer for layer in layers for peer in layer.row.peers))
    columns = [
        Column("of all", lambda p: units.percent(p.share)),
        Column("layer", lambda p: Text(p.row.name), right=False, shrinks=True),
        Column("", lambda p: f"x{p.count}" if p.count > 1 else "", right=False),
        Column("direction", lambda p: p.row.direction, right=False),
        Column("plan", lambda p: p.row.plan or "-", right=False),
        Column("time", lambda p: units.time(p.row.us.median) if p.row.timed else "-"),
        *(Column(f"{peer}\n/ ours", _of_row(_ratio(peer))) for peer in peers),
        Column("of bound", _of_row(_bound)),
        Column("memory", lambda p: units.binary(p.memory_bytes)),
        Column("error /\ntorch's", _of_row(_error), leave_out=1),
        Column("problem", lambda p: Text(p.row.problem), right=False, leave_out=2),
    ]
    return FittedTable(columns, [("", list(layers))], list(_notes(p.row for p in layers)))


def plain_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    """A table of texts, of which the marks that Markdown has for bold print are taken off."""
    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for line in lines:
        table.add_row(*(Text(cell.replace("**", "")) for cell in line))
    return table


def _of_row(cell: Callable[[Row], Text | str]) -> Callable[[ProfiledLayer], Text | str]:
    return lambda layer: cell(layer.row)


def _sections(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    fields = ("suite", "format", "dtype", "algorithm")
    varying = [name for name in fields if len({getattr(row, name) for row in rows}) > 1]
    sections: dict[str, list[Row]] = {}
    for row in rows:
        title = ", ".join(getattr(row, name) for name in varying)
        sections.setdefault(title, []).append(row)
    # The sections of a suite together, also where the rows take turns.
    suites = list(dict.fromkeys(row.suite for row in rows))
    return sorted(sections.items(), key=lambda item: suites.index(item[1][0].suite))


def _attribute(name: str) -> Callable[[Any], str]:
    return lambda row: str(getattr(row, name))


def _verdict(row: Row) -> Text:
    mark, style = MARKS.get(row.verdict, ("?", "yellow"))
    return Text(f"{mark} {row.verdict}", style=style)


def _verdicts(group: Group) -> Text:
    parts = []
    for verdict, count in group.verdicts.items():
        mark, style = MARKS.get(verdict, ("?", "yellow"))
        parts.append(Text(f"{mark} {count} {verdict}", style=style))
    return Text(", ").join(parts)


def _time_span(row: Row) -> str:
    return units.time_span(row.us) if row.timed else "-"


def _warm(row: Row) -> str:
    return units.time(row.warm_us[OURS]) if OURS in row.warm_us else "-"


def _coloured(median: float, low: float, high: float) -> Text:
    # Only where the whole range lies on one side of 1.
    style = "green" if low > 1 else "red" if high < 1 else PLAIN
    return Text(units.ratio(median), style=style)


def _has(row: Row, peer: str) -> bool:
    return row.timed and bool(row.times_us.get(peer))


def _ratio(peer: str) -> Callable[[Row], Text]:
    return lambda row: _coloured(*row.ratio(peer)) if _has(row, peer) else Text("-")


def _ratio_span(peer: str) -> Callable[[Row], str]:
    return lambda row: units.span(row.ratio(peer)) if _has(row, peer) else "-"


def _bound(row: Row) -> str:
    if not row.timed or row.floor_us <= 0:
        return "-"
    return f"{units.percent(row.share_of_bound)} {row.bound:<5}"


def _rate(row: Row) -> str:
    rate, unit = units.rate(row)
    return units.decimal(rate, unit) if rate else "-"


def _error(row: Row) -> str:
    return "-" if row.error_in_torchs is None else units.three_digits(row.error_in_torchs)


def _notes(rows: Iterable[Row]) -> Iterable[Text]:
    for row in rows:
        if row.verdict != "passed":
            yield Text.assemble(
                _verdict(row), f" {row.suite} {row.name} {row.direction}: ", row.note or "-",
                ("\n    " + row.problem, "dim"),
            )  # fmt: skip


def _tensors(problem: str) -> str:
    """Dtype and format of a canonical problem."""
    words = dict(word.split("=", 1) for word in problem.split() if "=" in word)
    dtype, format = words.get("dtype", "float32"), words.get("format")
    return f"{dtype}, {format}" if format else dtype


def _both(change: Change) -> bool:
    return bool(change.before and change.after)


def _change_verdict(change: Change) -> Text:
    mark, style = CHANGE_MARKS.get(change.verdict, ("?", "yellow"))
    return Text(f"{mark} {change.verdict}", style=style)


def _change_value(change: Change, spread: Any) -> str:
    if not spread:
        return "-"
    return units.ratio(spread.median) if change.peer else units.time(spread.median)


def _change_span(change: Change, spread: Any) -> str:
    if not spread:
        return "-"
    return units.span(spread) if change.peer else units.time_span(spread)
