# SPDX-License-Identifier: BSD-3-Clause
"""What ``cnnkern verify`` shows on the terminal."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich import box
from rich import progress as bars
from rich.console import Console
from rich.table import Table

from cnnkern.testing.variants import DTYPES
from cnnkern.testing.verify import Failure, Outcome

WIDTH = 140

_Item = TypeVar("_Item")


def progress(items: Sequence[_Item], doing: str) -> Iterator[_Item]:
    """The items, under a progress bar on stderr where that is a terminal."""
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=40),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    silent = not console.is_terminal or not items
    with bars.Progress(*columns, console=console, transient=True, disable=silent) as bar:
        yield from bar.track(items, description=doing)


def show(
    outcomes: Sequence[Outcome],
    failures: Sequence[Failure],
    *,
    seconds: float,
    complete: bool,
) -> None:
    """Prints the table, the failures and the sum of it."""
    # Without a terminal rich takes 80 columns, too few for the table.
    width = None if os.isatty(1) or "COLUMNS" in os.environ else WIDTH
    console = Console(width=width, highlight=False)
    if outcomes:
        console.print(_table(outcomes))
    shown = {id(failure.outcome) for failure in failures}
    for failure in failures:
        _show_failure(console, failure)
    others = [o for o in outcomes if o.verdict == "failed" and id(o) not in shown]
    if others:
        console.print(f"{len(others)} more failed, such as\n  {others[0].note}", markup=False)
    if not complete:
        console.print("Interrupted; this is what was verified until then.")
    console.print(_sum(outcomes, seconds), markup=False)


def _table(outcomes: Sequence[Outcome]) -> Table:
    groups: dict[tuple[str, str, str, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: DTYPES.index(_dtype(outcome))):
        key = (outcome.device, outcome.algorithm, outcome.direction, _dtype(outcome))
        groups.setdefault(key, []).append(outcome)
    algorithms = list(dict.fromkeys(outcome.algorithm for outcome in outcomes))
    directions = list(dict.fromkeys(outcome.direction for outcome in outcomes))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("device", "algorithm", "direction", "dtype"):
        table.add_column(name, no_wrap=True)
    for name in ("cases", "passed", "refused", "failed", "error /\ntorch's"):
        table.add_column(name, justify="right")
    table.add_column("of the problem", overflow="fold")
    for algorithm in algorithms:
        for direction in directions:
            for key, group in groups.items():
                if key[1:3] == (algorithm, direction):
                    table.add_row(*key, *_counts(group), *_worst_cells(group))
        table.add_section()
    return table


def _counts(group: Sequence[Outcome]) -> Iterator[str]:
    verdicts = Counter(outcome.verdict for outcome in group)
    yield str(len(group))
    yield str(verdicts["passed"])
    yield str(verdicts["refused"])
    yield f"[bold red]{verdicts['failed']}[/]" if verdicts["failed"] else "0"


def _worst_cells(group: Sequence[Outcome]) -> Iterator[str]:
    worst = _worst(group)
    yield f"{worst.error_in_torchs:.2f}" if worst else "-"
    yield worst.problem if worst else ""


def _worst(outcomes: Iterable[Outcome]) -> Outcome | None:
    passed = [outcome for outcome in outcomes if outcome.verdict == "passed"]
    worst = max(passed, key=lambda outcome: outcome.error_in_torchs, default=None)
    return worst if worst and worst.error_in_torchs else None


def _show_failure(console: Console, failure: Failure) -> None:
    outcome, small = failure.outcome, failure.smallest
    console.print(
        f"\n[bold red]FAILED[/] {outcome.algorithm}, {outcome.direction}, on {outcome.device}:"
    )
    console.print(f"  {outcome.note}", markup=False, soft_wrap=True)
    if small.problem != outcome.problem:
        console.print("  The smallest problem found that fails so:")
        console.print(f"  {small.note}", markup=False, soft_wrap=True)
    console.print("  See it again with:")
    console.print(f"  {failure.command}\n", markup=False, soft_wrap=True)


def _sum(outcomes: Sequence[Outcome], seconds: float) -> str:
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    problems = len({outcome.problem for outcome in outcomes})
    text = (
        f"{problems} problems, {len(outcomes)} cases: {verdicts['passed']} passed, "
        f"{verdicts['refused']} refused, {verdicts['failed']} failed, in {seconds:.0f} s"
    )
    worst = _worst(outcomes)
    if worst:
        text += (
            f"\nLargest error of those that passed: {worst.error_in_torchs:.2f} times torch's own "
            f"({worst.algorithm}, {worst.direction}: {worst.problem})"
        )
    nearest = max(outcomes, key=lambda outcome: outcome.error_share, default=None)
    if nearest and nearest.error_share:
        text += (
            f"\nNearest to what is allowed: {nearest.error_share:.2f} of it "
            f"({nearest.algorithm}, {nearest.direction}: {nearest.problem})"
        )
    return text


def _dtype(outcome: Outcome) -> str:
    words = (word.partition("=") for word in outcome.problem.split())
    return next((value for name, _, value in words if name == "dtype"), "float32")
