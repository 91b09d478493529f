# SPDX-License-Identifier: BSD-3-Clause
"""What changed between two runs, beyond their noise.

Where both runs timed torch beside us, ratios to torch are compared: what slows the whole machine
between two runs slows torch as well. A change counts when a one-sided Mann-Whitney U test of the
rounds finds it, with the probabilities corrected for the number of rows (Benjamini and Hochberg: of
what is called changed, 1 % may be noise), and when the medians differ by at least 5 %. Five rounds,
the least that a run makes, cannot show one change among a hundred rows; more seconds can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .results import OURS, Result, Row, Spread

__all__ = ["Change", "compare"]

LEVEL = 0.01
LEAST_FACTOR = 1.05


@dataclass(frozen=True)
class Change:
    """A row of both runs, or of one.

    ``before`` and ``after`` are ratios to ``peer``, or microseconds where that is None; ``factor``
    is how many times as fast we are after as before, ``p_value`` the corrected probability that
    noise alone looks like this. ``verdict``: faster, slower, same, new, gone, or "fails" where what
    was measured before no longer passes.
    """

    suite: str
    name: str
    problem: str
    direction: str
    algorithm: str
    peer: str | None
    before: Spread | None
    after: Spread | None
    factor: float
    p_value: float
    verdict: str


def compare(old: Result, new: Result, peer: str = "torch") -> list[Change]:
    """Compares two runs row by row.

    Args:
        old: the earlier run.
        new: the later one.
        peer: whose times beside ours take out what changed about the machine.

    Returns:
        A change for each row of either, in the order of the new run, then what is gone.

    Raises:
        ModuleNotFoundError: scipy is not installed.
    """
    before = {_key(row): row for row in old.rows}
    after = {_key(row): row for row in new.rows}
    pairs = [(before.get(key), row) for key, row in after.items()]
    changes = [_change(old_row, new_row, peer) for old_row, new_row in pairs]
    gone = [row for key, row in before.items() if key not in after]
    return _judged(changes) + [_one_sided(row, "gone") for row in gone]


def _key(row: Row) -> tuple[str, str, str, str, str]:
    return (row.suite, row.name, row.problem, row.direction, row.algorithm)


def _change(old: Row | None, new: Row, peer: str) -> Change:
    if old is None:
        return _one_sided(new, "new")
    if not new.timed or not old.timed:
        same = old.timed == new.timed  # neither
        return _one_sided(new, "same" if same else "fails" if old.timed else "new")
    shared = peer in old.times_us and peer in new.times_us
    if shared:
        before, after = old.ratios(peer), new.ratios(peer)
    else:
        before, after = old.times_us[OURS], new.times_us[OURS]
    spreads = Spread.of(before), Spread.of(after)
    factor = spreads[1].median / spreads[0].median
    factor = factor if shared else 1 / factor
    # Of the one side that the medians point to.
    grows = spreads[1].median > spreads[0].median
    return Change(*_key(new), peer if shared else None, *spreads, factor,
                  _p_value(after, before, grows), "same")  # fmt: skip


def _p_value(after: list[float], before: list[float], grows: bool) -> float:
    from scipy.stats import mannwhitneyu

    alternative = "greater" if grows else "less"
    return float(mannwhitneyu(after, before, alternative=alternative).pvalue)


def _one_sided(row: Row, verdict: str) -> Change:
    known = Spread.of(row.times_us[OURS]) if row.timed else None
    sides = (known, None) if verdict == "gone" else (None, known)
    nan = float("nan")
    return Change(*_key(row), None, sides[0], sides[1], nan, nan, verdict)


def _judged(changes: list[Change]) -> list[Change]:
    from scipy.stats import false_discovery_control

    tested = [c.p_value for c in changes if not math.isnan(c.p_value)]
    corrected = iter(false_discovery_control(tested) if tested else ())
    return [c if math.isnan(c.p_value) else _verdict(c, float(next(corrected))) for c in changes]


def _verdict(change: Change, p_value: float) -> Change:
    verdict = "same"
    if p_value < LEVEL and change.factor >= LEAST_FACTOR:
        verdict = "faster"
    elif p_value < LEVEL and change.factor <= 1 / LEAST_FACTOR:
        verdict = "slower"
    return replace(change, p_value=p_value, verdict=verdict)
