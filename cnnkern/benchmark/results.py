# SPDX-License-Identifier: BSD-3-Clause
"""What a run of the benchmark measured, in memory and as a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .files import write_whole

__all__ = ["OURS", "SCHEMA", "VERDICTS", "Result", "Row", "Spread", "read_result", "write_result"]

SCHEMA = 1
OURS = "cnnkern"

# passed: within the error rule. untrustworthy: too few values differ from zero to say so.
# failed: a wrong result, which is not timed. refused: no algorithm, or no memory, for it.
VERDICTS = ("passed", "untrustworthy", "failed", "refused")


class Spread(NamedTuple):
    """The median of repeated measurements, and the range of their middle 60 %."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(samples: Sequence[float]) -> Spread:
        """Of at least one measurement."""
        ordered = sorted(samples)
        last = len(ordered) - 1
        middle = (ordered[last // 2] + ordered[last - last // 2]) / 2
        return Spread(middle, ordered[int(0.2 * last)], ordered[math.ceil(0.8 * last)])


@dataclass
class Row:
    """One problem in one direction: what ran, how fast, how exact.

    Times are microseconds. ``times_us`` holds, by name (``"cnnkern"``, ``"torch"``, ...), one
    measurement of each round; those of one round were taken one after the other. On a GPU they are
    of a cold L2, and ``warm_us`` has medians without the flush. FLOPs (a multiply-add counts
    twice) and bytes (each tensor once) are the least that the problem needs; ``floor_us`` is the
    time that the larger of both takes at the rates measured in the same run, ``bound`` says which.
    """

    suite: str
    name: str
    problem: str  # canonical, with its dtype and format
    direction: str  # forward, forward_argmax, input_grad, weight_grad
    dtype: str  # or tf32
    format: str
    algorithm: str  # as asked for: auto, direct, ...
    verdict: str
    note: str = ""  # why not passed
    plan: str = ""  # the algorithm that served
    workspace_bytes: int = 0
    predicted_us: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0
    bound: str = ""  # FLOPs or bytes
    floor_us: float = 0.0
    error_in_torchs: float | None = None  # rms error in units of torch's own
    error_share: float | None = None  # of what the error rule allows
    times_us: dict[str, list[float]] = field(default_factory=dict)
    warm_us: dict[str, float] = field(default_factory=dict)

    @property
    def timed(self) -> bool:
        return bool(self.times_us.get(OURS))

    @property
    def us(self) -> Spread:
        """Our time."""
        return Spread.of(self.times_us[OURS])

    @property
    def peers(self) -> list[str]:
        return [name for name in self.times_us if name != OURS]

    def ratios(self, peer: str) -> list[float]:
        """The peer's time / ours, round by round: above 1 we are faster."""
        pairs = zip(self.times_us[peer], self.times_us[OURS], strict=True)
        return [theirs / ours for theirs, ours in pairs]

    def ratio(self, peer: str) -> Spread:
        return Spread.of(self.ratios(peer))

    @property
    def share_of_bound(self) -> float:
        """The least possible time divided by ours; 1 is the limit of the machine."""
        return self.floor_us / self.us.median


@dataclass
class Result:
    """A run: where and how it was measured, the machine's limits, and the rows."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    # "flops": {dtype: FLOP/s}, "copy": [[bytes touched, bytes/s], ...] by rising size
    limits: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    complete: bool = True  # False: the run was interrupted


def write_result(result: Result, path: Path) -> None:
    """Writes a result file whole or not at all; a row is a line, so that versions can be compared.

    Raises:
        OSError: the file cannot be written.
    """
    head = {
        "schema": SCHEMA,
        "complete": result.complete,
        "machine": result.machine,
        "settings": result.settings,
        "limits": _rounded(result.limits),
    }
    parts = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
    rows = ",\n".join(json.dumps(_rounded(_compact(row))) for row in result.rows)
    text = "{" + ",\n".join(parts) + f',\n"rows": [\n{rows}\n]}}\n'
    write_whole(path, text)


def read_result(path: Path) -> Result:
    """Reads what :func:`write_result` wrote.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no result file, was cut short, or is of another version; one line.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"'{path}' is no complete JSON (line {error.lineno}: {error.msg}); was its run "
            "interrupted? Measure it again"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"'{path}' is no text file, expected a result of cnnkern bench") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        found = "no version" if schema is None else f"version {schema}"
        raise ValueError(
            f"'{path}' has {found}, this cnnkern reads results of version {SCHEMA}; measure it "
            "again with: cnnkern bench --json FILE"
        )
    try:
        rows = [Row(**row) for row in data["rows"]]
        return Result(
            data["machine"], data["settings"], data["limits"], rows, bool(data["complete"])
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"'{path}' is no result of cnnkern bench: {error}") from None


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def _compact(row: Row) -> dict[str, Any]:
    empty: tuple[Any, ...] = ("", 0, 0.0, None, {})
    return {name: value for name, value in asdict(row).items() if value not in empty}


def _rounded(value: Any) -> Any:
    """Four digits: more than any time has."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
