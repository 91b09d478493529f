# SPDX-License-Identifier: BSD-3-Clause
"""Plans: who serves, at what cost, and why nobody else does; and the text that says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import cases
import pytest
import torch

import cnnkern
from cnnkern._C import Plan, info, parse, plan

DENSE = "conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1"
DEPTHWISE = "conv2d 8x64x56x56 64x1x3x3 padding=1"
CONVOLUTIONS = [
    line
    for table in (cases.CONV, cases.CONV_TRANSPOSE)
    for lines in table.values()
    for line in lines
]
POOLS = [
    line for table in (cases.MAX_POOL, cases.AVG_POOL) for lines in table.values() for line in lines
]
DIRECTIONS = ["forward", "input_grad", "weight_grad"]


def plan_of(text: str, direction: str = "forward", algorithm: str = "auto") -> Plan:
    return plan(parse(text), direction, algorithm)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        (DEPTHWISE, "depthwise"),
        ("conv2d 8x64x56x56 128x1x3x3", "depthwise"),  # two filters a channel
        ("conv2d 8x1x28x28 6x1x5x5", "direct"),
        ("conv2d 8x64x56x56 64x16x3x3 stride=2", "direct"),
        ("conv1d 4x1x16000 64x1x10 stride=5", "direct"),
        ("conv_transpose2d 8x64x28x28 64x32x2x2 stride=2", "direct"),
        ("conv_transpose2d 8x64x28x28 64x1x2x2 stride=2 groups=64", "depthwise"),
    ],
)
def test_choice(text: str, direction: str, algorithm: str) -> None:
    made = plan_of(text, direction)
    assert (made.algorithm, made.direction) == (algorithm, direction)


@pytest.mark.parametrize("text", CONVOLUTIONS)
def test_every_other_algorithm_has_its_reason(text: str) -> None:
    problem = parse(text)
    for direction in problem.directions():
        made = plan(problem, direction)
        others = {name for name, _ in made.refused}
        assert others | {made.algorithm} == {"depthwise", "direct", "im2col", "winograd"}
        assert made.algorithm not in others
        for name, reason in made.refused:
            assert re.search(r"\d", reason), (name, reason)
            if reason.startswith("would take"):
                assert plan(problem, direction, name).algorithm == name
            else:
                with pytest.raises(RuntimeError, match=re.escape(reason)):
                    plan(problem, direction, name)


@pytest.mark.parametrize("text", CONVOLUTIONS + POOLS)
def test_im2col_serves_every_convolution_and_costs_are_numbers(text: str) -> None:
    problem = parse(text)
    for direction in problem.directions():
        made = plan(problem, direction, "auto" if "pool" in text else "im2col")
        assert made.algorithm == ("direct" if "pool" in text else "im2col")
        assert made.workspace_bytes >= 0
        assert 0 < made.predicted_us < 1e9
        assert made.bound in ("FLOPs", "bytes")
        assert made.batch_invariant == (direction != "weight_grad")


def test_counts_are_of_the_problem() -> None:
    made = plan_of("conv2d 2x4x8x8 6x2x3x3 dtype=bfloat16")
    assert made.flops == 2 * 2 * 6 * 6 * 6 * 2 * 9
    assert made.bytes == 2 * (2 * 4 * 64 + 6 * 2 * 9 + 2 * 6 * 36)
    made = plan_of("max_pool2d 2x4x8x8 kernel=2", "input_grad")
    assert made.bytes == 4 * (2 * 4 * 64 + 2 * 4 * 16) + 2 * 4 * 16  # one byte an argmax


def test_a_refusing_algorithm_is_an_error_with_its_reason() -> None:
    with pytest.raises(
        RuntimeError,
        match="conv2d: algorithm depthwise does not serve this forward: C/groups is 64, needs 1; "
        "C = 64, groups = 1",
    ):
        plan_of(DENSE, "forward", "depthwise")
    with pytest.raises(RuntimeError, match="C is 1: one dense group, needs at least 2"):
        plan_of("conv1d 1x1x9 4x1x3", "forward", "depthwise")


def test_a_filter_beyond_the_cache_goes_to_im2col() -> None:
    made = plan_of("conv2d 1x4096x64x64 8x4096x64x64")
    assert made.algorithm == "im2col"
    assert dict(made.refused)["direct"] == (
        "one output reads 64 MiB, needs at most 16 MiB; C/groups = 4096, kernel 1x64x64"
    )


@pytest.mark.parametrize(
    ("text", "direction", "algorithm", "message"),
    [
        (
            DENSE,
            "forward",
            "fft",
            "expected algorithm auto, depthwise, direct, im2col, implicit_gemm or winograd, "
            "got 'fft'",
        ),
        ("max_pool1d 1x1x9 kernel=3", "forward", "im2col", "expected algorithm auto or direct"),
        ("max_pool1d 1x1x9 kernel=3", "weight_grad", "auto", "max_pool1d: has no weight gradient"),
    ],
)
def test_unknown_words_are_refused(text: str, direction: str, algorithm: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        plan_of(text, direction, algorithm)


def test_unknown_directions_and_threads_are_value_errors() -> None:
    with pytest.raises(ValueError, match="expected direction forward, input_grad or weight_grad"):
        plan_of(DENSE, "backward")
    with pytest.raises(ValueError, match="expected threads >= 0, got -1"):
        plan(parse(DENSE), "forward", threads=-1)


@pytest.mark.parametrize(
    ("algorithm", "direction"),
    [(name, way) for name in ("direct", "im2col", "depthwise") for way in DIRECTIONS]
    + [("winograd", "forward"), ("winograd", "input_grad")],
)
def test_workspace_is_bounded_whatever_the_batch(algorithm: str, direction: str) -> None:
    channels = "1x3x3" if algorithm == "depthwise" else "64x3x3"

    def workspace(n: int) -> int:
        text = f"conv2d {n}x64x56x56 64x{channels} padding=1"
        return plan_of(text, direction, algorithm).workspace_bytes

    large = workspace(4096)
    assert workspace(64) == large
    assert workspace(1) <= large <= 128 << 20


@pytest.mark.parametrize(
    "text",
    [
        "conv2d 0x4x5x5 3x4x3x3",
        "conv2d 2x0x5x5 3x0x3x3",
        "conv_transpose2d 2x4x1x5 4x3x2x3 padding=1",  # no rows come out
        "conv_transpose2d 0x4x0x5 4x3x3x3",
    ],
)
def test_what_is_empty_needs_no_workspace(text: str) -> None:
    problem = parse(text)
    assert [plan(problem, way).workspace_bytes for way in problem.directions()] == [0, 0, 0]


@pytest.mark.timeout(20)
def test_planning_takes_no_longer_where_strides_are_huge() -> None:
    problem = parse("conv_transpose1d 3x4x8 4x8x4 stride=1000000000 groups=2")
    assert plan(problem, "forward").algorithm == "direct"


def test_a_transposed_convolution_is_planned_in_its_callers_words() -> None:
    there = "conv2d 8x32x56x56 64x32x2x2 stride=2"
    back = "conv_transpose2d 8x64x28x28 64x32x2x2 stride=2"
    for own, inner in (
        ("forward", "input_grad"),
        ("input_grad", "forward"),
        ("weight_grad", "weight_grad"),
    ):
        a, b = plan_of(back, own), plan_of(there, inner)
        assert a.direction == own
        assert (a.algorithm, a.flops, a.bytes) == (b.algorithm, b.flops, b.bytes)
        assert (a.workspace_bytes, a.predicted_us) == (b.workspace_bytes, b.predicted_us)


def test_more_threads_are_predicted_to_help() -> None:
    problem = parse(DENSE)
    one, four = plan(problem, "forward", threads=1), plan(problem, "forward", threads=4)
    assert one.predicted_us > 3 * four.predicted_us
    assert one.algorithm == four.algorithm


def run_with_log(code: str, log: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CNNKERN_LOG": log},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_the_log_has_one_line_a_new_problem() -> None:
    code = (
        "import torch, cnnkern\n"
        "x, w = torch.zeros(2, 3, 9, 9), torch.zeros(4, 3, 3, 3)\n"
        "for stride in (1, 1, 2, 1, 2):\n"
        "    cnnkern.functional.conv2d(x, w, stride=stride)\n"
    )
    lines = [line for line in run_with_log(code, "plan").splitlines() if "cnnkern plan" in line]
    assert len(lines) == 2
    assert lines[0].startswith(
        "cnnkern plan: conv2d 2x3x9x9 4x3x3x3: forward -> direct, workspace "
    )
    assert lines[1].startswith("cnnkern plan: conv2d 2x3x9x9 4x3x3x3 stride=2: forward -> direct")
    assert "cnnkern plan" not in run_with_log(code, "planet")


def test_explanation_of_a_text() -> None:
    lines = str(cnnkern.explain(DENSE)).splitlines()
    assert lines[0] == DENSE
    assert lines[1] == ("input (8, 64, 56, 56), weight (128, 64, 3, 3) -> output (8, 128, 28, 28)")
    table = [line.split() for line in lines[3:7]]
    assert table[0][:4] == ["direction", "algorithm", "workspace", "predicted"]
    assert [row[:2] for row in table[1:]] == [
        ["forward", "direct"],
        ["input_grad", "direct"],
        ["weight_grad", "direct"],
    ]
    assert "  depthwise  C/groups is 64, needs 1; C = 64, groups = 1" in lines
    assert info()["isa"] in lines[-1]


def test_explanation_of_a_layer() -> None:
    layer = cnnkern.nn.Conv2d(64, 64, 3, padding=1, algorithm="im2col", activation="relu")
    explanation = cnnkern.explain(layer, torch.zeros(64, 9, 9))
    assert str(explanation.problem) == "conv2d 1x64x9x9 64x64x3x3 padding=1 bias relu"
    assert {made.algorithm for made in explanation.plans} == {"im2col"}
    assert "not the named one" in str(explanation)
    pool = cnnkern.explain(torch.nn.MaxPool2d(2), torch.zeros(1, 6, 24, 24))
    assert [made.direction for made in pool.plans] == ["forward", "input_grad"]
    assert "not by" not in str(pool)


def test_explanations_need_an_input_beside_a_layer_only() -> None:
    with pytest.raises(TypeError, match="expected an input beside the layer"):
        cnnkern.explain(torch.nn.MaxPool2d(2))
    with pytest.raises(TypeError, match="expected an input only beside a layer"):
        cnnkern.explain(DENSE, torch.zeros(1))
    with pytest.raises(RuntimeError, match="algorithm depthwise does not serve"):
        cnnkern.explain(DENSE, algorithm="depthwise")
    with pytest.raises(ValueError, match="did you mean 'stride'"):
        cnnkern.explain("conv2d 1x1x3x3 1x1x1x1 strid=2")


def test_info_says_what_runs() -> None:
    facts = info()
    assert facts["version"] == cnnkern.__version__
    assert facts["isa"] in facts["isas"]
    assert facts["threads"] == torch.get_num_threads()
    assert facts["openmp"] is True
    assert facts["huge_pages_from"] in (0, 32 << 20)
    assert facts["cuda"] in (False, True)
