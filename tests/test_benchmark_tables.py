# SPDX-License-Identifier: BSD-3-Clause
"""What a result looks like on a terminal, and the means that it is summarised by."""

from __future__ import annotations

import math

import pytest
from rich.console import Console, RenderableType

from cnnkern.benchmark.changes import Change
from cnnkern.benchmark.results import Spread
from cnnkern.benchmark.summary import count_verdicts, summarise
from cnnkern.benchmark.tables import (
    changes_table,
    limits_line,
    machine_lines,
    rows_table,
    summary_table,
)
from tests.support.results import HOSTILE, LAYERS, result, row


def printed(renderable: RenderableType, width: int = 100) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().splitlines()


def line_of(lines: list[str], word: str) -> str:
    (found,) = [line for line in lines if word in line]
    return found


def test_row_says_verdict_time_ratio_bound_and_error() -> None:
    lines = printed(rows_table([row("conv1")]), 160)
    cells = line_of(lines, "passed").split("  ")
    assert [cell.strip() for cell in cells if cell.strip()] == [
        "✓ passed", "conv1", "forward", "direct", "100 us", "100-110", "4.00", "4.00-4.00",
        "20 % FLOPs", "40.0 GFLOP/s", "2.00 KiB", "0.75", LAYERS["conv1"][0],
    ]  # fmt: skip


def test_a_bound_of_bytes_has_its_rate_in_bytes() -> None:
    assert "10.0 GB/s" in line_of(printed(rows_table([row("pool", bound="bytes")]), 160), "passed")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = printed(rows_table(result().rows), width)
    assert max(map(len, lines)) <= width
    assert all(name in "\n".join(lines) for name in LAYERS)


def test_narrow_table_says_what_it_leaves_out() -> None:
    narrow, wide = (printed(rows_table([row("conv1")]), width) for width in (80, 200))
    assert "workspace" in line_of(narrow, "Not shown at this width")
    assert "2.00 KiB" not in "".join(narrow)
    assert "Not shown" not in "".join(wide)


def test_what_did_not_pass_has_a_mark_a_word_and_a_reason_below() -> None:
    text = "\n".join(printed(rows_table(result().rows)))
    for mark in ("✗ failed", "– refused", "? untrustworthy"):
        assert text.count(mark) == 2  # in the table and below it
    assert "✗ failed net conv1 weight_grad: 3 of 9 values differ" in text


def test_names_are_no_markup() -> None:
    assert HOSTILE in "\n".join(printed(rows_table(result().rows), 120))
    group = summarise([row("conv1", name=HOSTILE)])
    assert HOSTILE in "\n".join(printed(summary_table(group)))


def test_sections_by_what_varies() -> None:
    lines = printed(rows_table([row("conv1"), row("conv1", format="channels_last")]))
    assert [line for line in lines if line in FORMATS] == FORMATS
    assert not [line for line in printed(rows_table([row("conv1")])) if line in FORMATS]


FORMATS = ["contiguous", "channels_last"]


def test_a_layer_of_several_rows_is_named_once() -> None:
    lines = printed(rows_table([row("conv1"), row("conv1", "input_grad"), row("conv2")]))
    assert sum("conv1 " in line for line in lines) == 1


def test_warm_times_have_a_column_where_there_are_any() -> None:
    warm = row("conv1", warm_us={"cnnkern": 42.0})
    assert "42.0 us" in line_of(printed(rows_table([warm]), 200), "passed")
    assert "warm" not in "".join(printed(rows_table([row("conv1")]), 200))


def test_means_are_geometric_and_name_the_worst() -> None:
    rows = [row(name) for name in LAYERS]
    convolutions, pools = summarise(rows)
    assert (convolutions.layers, pools.layers) == ("convolutions", "pools")
    assert convolutions.count == 3
    assert convolutions.mean == pytest.approx((4.0 * 1.0 * 0.5) ** (1 / 3))
    assert (convolutions.least, convolutions.least_name) == (0.5, "depthwise")
    assert convolutions.share == pytest.approx(0.2)
    assert pools.mean == pytest.approx(8)


def test_only_what_passed_and_has_the_peer_counts() -> None:
    rows = [
        row("conv1"),
        row("conv2", verdict="untrustworthy"),
        row("conv2", name="alone", times_us={"cnnkern": [1.0]}),
        row("depthwise", verdict="failed", times_us={}),
    ]
    (group,) = summarise(rows)
    assert (group.count, group.mean) == (1, pytest.approx(4))
    assert group.verdicts == {"passed": 2, "untrustworthy": 1, "failed": 1}
    (nothing,) = summarise(rows, "torch.compile")
    assert nothing.count == 0
    assert math.isnan(nothing.mean)
    assert "4.00" in "".join(printed(summary_table([group, nothing])))
    assert count_verdicts([]) == {}


def test_groups_keep_the_order_of_suites_and_directions() -> None:
    rows = [
        row("conv1", "weight_grad", suite="b"),
        row("conv1", "forward", suite="b"),
        row("conv1", "forward", "channels_last", suite="a"),
        row("conv1", "forward", suite="a"),
    ]
    assert [(group.suite, group.direction, group.format) for group in summarise(rows)] == [
        ("b", "forward", "contiguous"),
        ("b", "weight_grad", "contiguous"),
        ("a", "forward", "contiguous"),
        ("a", "forward", "channels_last"),
    ]


def test_changes() -> None:
    def change(verdict: str, before: float | None, after: float | None, peer: str | None) -> Change:
        sides = [Spread(v, v, v) if v else None for v in (before, after)]
        factor = after / before if before and after else math.nan
        problem = LAYERS["conv1"][0]
        key = ("net", verdict, problem, "forward", "auto")
        return Change(*key, peer, *sides, factor, 0.001 if before and after else math.nan, verdict)

    lines = printed(
        changes_table([
            change("slower", 2.0, 1.0, "torch"),
            change("faster", 1.0, 3.0, "torch"),
            change("gone", 1500.0, None, None),
        ]),
        160,
    )  # fmt: skip
    cells = [line_of(lines, mark).split() for mark in ("▼", "▲", "–")]
    assert cells[0][:6] == ["▼", "slower", "net", "slower", "forward", "torch"]
    assert cells[0][6:] == ["2.00", "2.00-2.00", "1.00", "1.00-1.00", "0.50", "0.001"]
    assert cells[1][-2] == "3.00"
    assert cells[2][:6] == ["–", "gone", "net", "gone", "forward", "-"]
    assert cells[2][6:] == ["1.50", "ms", "1.50-1.50", "-", "-", "-", "-"]


def test_head_says_where_when_and_with_what() -> None:
    run = result(complete=False)
    text = "\n".join(machine_lines(run))
    for words in ("Test CPU <9>, avx2, 2 threads", "torch 2.13.0", "commit abc123"):
        assert words in text
    assert "2026-11-21 17:30 UTC" in text
    assert "Interrupted" in text
    assert limits_line(run) == (
        "Limits measured in this run: float32 200 GFLOP/s; bfloat16 100 GFLOP/s; "
        "copy 10.0 GB/s at 256 MiB (40.0 GB/s at 1.00 MiB)"
    )
    assert limits_line(result(limits={})).endswith("none")
