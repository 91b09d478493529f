# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's rows: torch's calls are the same problem, wrong results are not timed."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from cnnkern import profile
from cnnkern.benchmark import measure as measuring
from cnnkern.benchmark.case import Case, directions_of, draw, first_result, our_call, peer_call
from cnnkern.benchmark.checked import Truths
from cnnkern.benchmark.clock import CpuClock
from cnnkern.benchmark.limits import copy_rate_at, floor, measure_limits
from cnnkern.benchmark.measure import DIRECTIONS, Bench, algorithms_of
from cnnkern.benchmark.suites import Layer, with_form
from cnnkern.problem import parse
from cnnkern.testing import Call, derivatives

LIMITS = {
    "flops": dict.fromkeys(("float32", "float64", "float16", "bfloat16"), 1e11),
    "copy": [[1e6, 5e10], [1e8, 1e10]],
}
PROBLEMS = [
    "conv2d 2x6x9x8 4x3x3x3 stride=2 padding=1 groups=2 bias",
    "conv2d 2x3x9x9 4x3x3x3 padding=0:1,1:0 bias relu",
    "conv1d 2x4x20 6x4x3 dilation=2",
    "conv3d 1x2x4x5x6 3x2x2x3x2 padding=1",
    "conv_transpose2d 2x4x5x6 4x3x3x3 stride=2 padding=1 output_padding=1 bias",
    "conv_transpose1d 2x4x9 4x3x3 padding=0:1",
    "max_pool1d 2x3x17 kernel=3 stride=2",
    "max_pool2d 2x3x9x9 kernel=3 stride=2 padding=1 ceil",
    "max_pool2d 2x3x9x9 kernel=2 padding=0:1",
    "max_pool2d 2x3x9x9 kernel=3 stride=1 padding=2 dilation=2",
    "max_pool3d 1x1x6x6x6 kernel=2 stride=4,2,2 padding=1,0,0 dilation=2,1,3 ceil",
    "avg_pool1d 2x3x17 kernel=3 stride=2",
    "avg_pool2d 2x3x9x9 kernel=3 stride=2 padding=1 count_include_pad=false",
    "avg_pool3d 1x3x6x6x6 kernel=2 divisor=3",
]


def bench(**options) -> Bench:
    return Bench(CpuClock(), LIMITS, seconds=0.001, **options)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("text", PROBLEMS)
def test_every_direction_of_ours_and_torchs_is_the_problems(text: str, dtype: str) -> None:
    problem = with_form(parse(text), dtype, "contiguous" if "1d" in text else "channels_last")
    operands = draw(problem)
    call = Call.parse(str(problem))
    grad = operands.grad
    doubles = derivatives(call, [t.double() for t in operands.tensors], grad.double())
    expected = dict(zip(("forward", "input_grad", "weight_grad"), doubles, strict=False))
    for direction in directions_of(problem, DIRECTIONS):
        case = Case(problem, direction, operands)
        truth = expected[direction.removesuffix("_argmax")]
        tolerance = {"float32": 1e-5, "bfloat16": 0.05}[dtype] * truth.abs().max()
        calls = [our_call(case)]
        # Of these torch has no bfloat16.
        if dtype == "float32" or not text.startswith(("max_pool3d", "avg_pool3d")):
            calls.append(peer_call(case))
        for one in calls:
            with torch.no_grad():
                result = first_result(one())
            assert result.shape == truth.shape
            assert (result.double() - truth).abs().max() <= tolerance


@pytest.mark.parametrize("text", PROBLEMS[:2] + PROBLEMS[7:9])
def test_rows_hold_what_was_asked(text: str) -> None:
    rows = bench(algorithm="all").rows(Layer("mine", "one", parse(text)))
    assert {(row.suite, row.name, row.verdict) for row in rows} == {("mine", "one", "passed")}
    assert {row.direction for row in rows} >= {"forward", "input_grad"}
    if text.startswith("conv"):
        assert {row.plan for row in rows} == {"direct", "im2col"}
    for row in rows:
        assert row.algorithm in (row.plan, "auto")
        assert len(row.times_us["cnnkern"]) == len(row.times_us["torch"]) >= 5
        assert row.flops > 0
        assert row.bytes > 0
        assert row.floor_us > 0
        assert row.error_share is not None
        assert row.error_share <= 1


def test_algorithms_that_serve() -> None:
    depthwise = parse("conv2d 1x8x9x9 8x1x3x3 groups=8")
    assert sorted(algorithms_of(depthwise, "forward", "all", "cpu")) == [
        "depthwise", "direct", "im2col",
    ]  # fmt: skip
    assert algorithms_of(parse("max_pool2d 1x1x4x4 kernel=2"), "forward", "direct", "cpu") == [
        "auto"
    ]


@pytest.mark.parametrize("share", [1.0, 0.3], ids=["whole truth", "a part of it"])
@pytest.mark.parametrize(
    "text", ["conv2d 4x3x9x9 8x3x3x3 padding=1", "avg_pool2d 4x3x9x9 kernel=3"]
)
def test_wrong_results_fail_wherever_they_are(text: str, share: float, monkeypatch) -> None:
    problem = parse(text)
    operands = draw(problem)
    for direction in directions_of(problem, DIRECTIONS):
        case = Case(problem, direction, operands)
        right = first_result(our_call(case)())
        theirs = first_result(peer_call(case)())
        flops = 1e6
        monkeypatch.setattr("cnnkern.benchmark.checked.MOST_FLOPS", {"cpu": share * flops})
        assert Truths().check(case, right, theirs, flops).verdict == "passed"
        wrong = right.clone()
        wrong[-1, -1, -1, -1] += 0.01  # of the last sample and channel
        check = Truths().check(case, wrong, theirs, flops)
        assert (check.verdict, direction in check.note) == ("failed", True)


@pytest.mark.parametrize("peers", [(), ("torch.benchmark",)])
def test_torchs_own_error_counts_whoever_is_timed(peers: tuple[str, ...]) -> None:
    rows = bench(directions=["forward"], peers=peers).rows(Layer("s", "n", parse(PROBLEMS[0])))
    assert rows[0].error_in_torchs is not None
    assert list(rows[0].times_us) == ["cnnkern", *peers]


def test_wrong_result_is_a_row_and_not_timed(monkeypatch) -> None:
    monkeypatch.setattr(measuring, "our_call", lambda case, name: lambda: case.operands.grad * 0)
    (row,) = bench(directions=["forward"]).rows(Layer("s", "n", parse(PROBLEMS[0])))
    assert row.verdict == "failed"
    assert "worst at" in row.note
    assert not row.timed


def test_mostly_zeros_are_not_trusted(monkeypatch) -> None:
    problem = parse("conv2d 1x2x6x6 3x2x3x3")
    operands = draw(problem)
    operands.input[..., 2:] = 0
    case = Case(problem, "forward", operands)
    result = first_result(our_call(case)())
    assert Truths().check(case, result, None, 1.0).verdict == "passed"
    operands.input.zero_()
    check = Truths().check(case, first_result(our_call(case)()), None, 1.0)
    assert (check.verdict, check.note) == (
        "untrustworthy", "0 of 48 values differ from zero: too few to tell",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "conv2d 2x3x9x9 4x3x1x1 stride=3",  # gaps in its input gradient
        "conv2d 2x3x4x4 4x3x1x1 padding=3",  # windows in the padding alone
        "conv2d 2x3x1x1 4x3x3x3 padding=1",  # weights that meet only padding
        "conv_transpose2d 2x3x5x5 3x4x1x1 stride=3",
        "max_pool2d 2x3x12x12 kernel=4",
        "max_pool2d 4x8x16x16 kernel=5 stride=1 padding=2",  # one maximum for many windows
        "max_pool3d 2x4x8x8x8 kernel=3 stride=2 padding=1",
        "conv2d 2x3x9x9 4x3x3x3 relu",
    ],
)
def test_zeros_of_the_geometry_are_no_reason_for_distrust(text: str) -> None:
    rows = bench().rows(Layer("s", "n", parse(text)))
    assert {row.verdict for row in rows} == {"passed"}


def test_what_does_not_fit_is_a_row() -> None:
    rows = bench().rows(Layer("s", "n", parse("conv2d 9000x300x224x224 300x300x3x3")))
    assert [row.verdict for row in rows] == ["refused"] * 3
    assert "GiB" in rows[0].note
    assert not rows[0].timed


def test_algorithm_that_refuses_is_a_row() -> None:
    rows = bench(algorithm="depthwise").rows(Layer("s", "n", parse(PROBLEMS[2])))
    assert [row.verdict for row in rows] == ["refused"] * 3
    assert "C/groups" in rows[0].note


def test_shared_problems_are_measured_once(monkeypatch) -> None:
    calls = []
    draws = measuring.draw
    monkeypatch.setattr(measuring, "draw", lambda *given: calls.append(given) or draws(*given))
    one = bench(directions=["forward"])
    problem = parse(PROBLEMS[2])
    first, second = (one.rows(Layer(suite, "n", problem)) for suite in ("a", "b"))
    assert len(calls) == 1
    assert first[0].suite == "a"
    assert second[0].suite == "b"
    assert first[0].times_us == second[0].times_us


def test_floors() -> None:
    assert floor(LIMITS, "float32", 1e9, 1e6, pool=False) == (1e4, "FLOPs")
    us, bound = floor(LIMITS, "float32", 1e9, 1e6, pool=True)
    assert (round(us), bound) == (20, "bytes")
    assert copy_rate_at(LIMITS, 1) == 5e10
    assert copy_rate_at(LIMITS, 1e7) == pytest.approx(3e10)
    assert copy_rate_at(LIMITS, 1e12) == 1e10


def test_measured_limits_are_of_this_machine() -> None:
    limits = measure_limits(CpuClock(), ("float32",))
    assert 1e8 < limits["flops"]["float32"] < 1e14
    assert all(1e8 < rate < 1e13 for _, rate in limits["copy"])


def test_clock_takes_turns() -> None:
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = CpuClock().time(calls, 0.001)
    assert list(times) == ["a", "b"]
    assert len(times["a"]) == len(times["b"]) >= 5
    changes = sum(x != y for x, y in pairwise(order))
    assert changes >= 2 * len(times["a"])


def test_profile_of_a_model() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.MaxPool2d(2), torch.nn.FractionalMaxPool2d(2, 3),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Conv2d(4, 4, 1), torch.nn.Conv2d(4, 4, 1),
    )  # fmt: skip
    result = profile(model, torch.zeros(1, 3, 12, 12), seconds=0.001)
    rows = {(p.row.name, p.row.direction): p for p in result.layers}
    assert len(rows) == 3 + 2 + 2 + 3
    assert rows["4", "forward"].count == 2
    assert ("1", "forward_argmax") in rows
    assert math.isclose(sum(p.share for p in result.layers), 1)
    assert rows["0", "forward"].memory_bytes >= 4 * 4 * 10 * 10
    assert result.skipped == {"fractional_max_pool2d": 1}
    text = str(result)
    assert "conv2d 1x3x12x12 4x3x3x3 bias" in text
    assert "Not measured: 1 x fractional_max_pool2d" in text


def test_profile_refuses() -> None:
    with pytest.raises(ValueError, match="no convolution or pool"):
        profile(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"directions of forward, .*got 'forwards'"):
        profile(torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2), directions=["forwards"])
