# SPDX-License-Identifier: BSD-3-Clause
"""Result files, CSV, and what changed between two runs."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from cnnkern.benchmark.changes import compare
from cnnkern.benchmark.csv_rows import write_csv
from cnnkern.benchmark.results import Result, Row, Spread, read_result, write_result


def a_row(name: str, ours: list[float], torchs: list[float] | None = None, **fields) -> Row:
    times = {"cnnkern": ours} | ({} if torchs is None else {"torch": torchs})
    given = {"verdict": "passed", "times_us": times if ours else {}, "flops": 1e6, "bytes": 1e4}
    return Row("suite", name, f"conv2d 1x1x9x9 1x1x3x3 name={name}", "forward", "float32",
               "contiguous", "auto", **{**given, **fields})  # fmt: skip


def a_result(*rows: Row, **fields) -> Result:
    return Result({"device": "A CPU"}, {"seed": 0}, {"flops": {"float32": 1e11}, "copy": []},
                  list(rows), **fields)  # fmt: skip


def noisy(middle: float, seed: int, count: int = 15) -> list[float]:
    generator = random.Random(seed)
    return [middle * generator.uniform(0.97, 1.03) for _ in range(count)]


def test_spread() -> None:
    assert Spread.of([3.0]) == (3.0, 3.0, 3.0)
    assert Spread.of([4.0, 1.0]) == (2.5, 1.0, 4.0)
    assert Spread.of(list(map(float, range(11)))) == (5.0, 2.0, 8.0)


def test_written_results_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result = a_result(
        a_row("a", [1.25, 2.0], [3.0, 4.0], bound="FLOPs", error_in_torchs=0.5, workspace_bytes=7),
        a_row("b", [], verdict="refused", note="C/groups is 3"),
        complete=False,
    )
    write_result(result, path)
    assert read_result(path) == result
    assert len(path.read_text().splitlines()) == 5 + 1 + 2 + 1  # a row is a line
    write_result(replace(result, complete=True), path)
    assert read_result(path).complete
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(a_result(), path)
    before = path.read_text()
    with pytest.raises(TypeError):
        write_result(replace(a_result(), machine={"x": object()}), path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "rows": [{"suite": "x"', "is no complete JSON .*was its run interrupted"),
        ('{"machine": {}, "rows": []}', "has no version, .* of version 1; measure it again"),
        ('{"schema": 99, "rows": []}', "has version 99, this cnnkern reads results of version 1"),
        ("[1, 2]", "has no version"),
        ('{"schema": 1, "rows": [{"colour": 1}]}', "is no result of cnnkern bench: .*colour"),
        ('{"schema": 1, "rows": []}', "is no result of cnnkern bench: 'machine'"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_result(path)
    assert "\n" not in str(caught.value)


def test_csv_has_a_line_for_each_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv([a_row("a, b", [2.0], [4.0]), a_row("c", [], verdict="refused", note='"so"')], path)
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["name"] == "a, b"
    assert (float(first["us"]), float(first["torch_us"]), float(first["torch_ratio"])) == (2, 4, 2)
    assert (second["verdict"], second["note"], second["us"]) == ("refused", '"so"', "")


def test_changes_beyond_the_noise() -> None:
    def run(slower: float, faster: float, seed: int, machine: float) -> Result:
        rows = [
            a_row(name, noisy(100 * factor * machine, seed + i), noisy(100 * machine, seed + 9 + i))
            for i, (name, factor) in enumerate({"a": 1.0, "b": slower, "c": faster}.items())
        ]
        return a_result(*rows, a_row(f"only{seed}", [1.0]))

    # The whole machine is slower by half the second time, which is no change of ours.
    changes = compare(run(1, 1, 1, 1.0), run(1.3, 0.7, 100, 1.5))
    verdicts = {change.name: change.verdict for change in changes}
    assert verdicts == {
        "a": "same",
        "b": "slower",
        "c": "faster",
        "only100": "new",
        "only1": "gone",
    }
    by_name = {change.name: change for change in changes}
    assert by_name["b"].factor == pytest.approx(1 / 1.3, rel=0.05)
    assert by_name["b"].p_value < 0.01 < by_name["a"].p_value


def test_changes_without_torch_are_of_times() -> None:
    before, after = (a_result(a_row("a", noisy(us, seed))) for us, seed in ((100, 1), (80, 2)))
    (change,) = compare(before, after)
    assert (change.peer, change.verdict) == (None, "faster")
    assert change.factor == pytest.approx(1.25, rel=0.05)


def test_small_differences_are_no_changes() -> None:
    before, after = (a_result(a_row("a", noisy(us, seed, 25))) for us, seed in ((100, 1), (96, 2)))
    (change,) = compare(before, after)
    assert change.p_value < 0.01  # seen, and too small to matter
    assert change.verdict == "same"


def test_noise_alone_is_seldom_a_change() -> None:
    rows = [[a_row(str(i), noisy(100, i + offset, 5)) for i in range(200)] for offset in (0, 5000)]
    assert {c.verdict for c in compare(*(a_result(*some) for some in rows))} == {"same"}


def test_what_no_longer_passes_is_named() -> None:
    before = a_result(a_row("a", noisy(100, 1)))
    after = a_result(a_row("a", [], verdict="failed", note="worst at (0, 0)"))
    assert [change.verdict for change in compare(before, after)] == ["fails"]


def test_what_neither_run_timed_is_the_same() -> None:
    rows = [a_row("a", [], verdict="refused", note="no memory")]
    assert [change.verdict for change in compare(a_result(*rows), a_result(*rows))] == ["same"]


def test_files_are_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(a_result(a_row("a", [1.23456789])), path)
    assert json.loads(path.read_text())["rows"][0]["times_us"] == {"cnnkern": [1.235]}
