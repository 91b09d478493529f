# SPDX-License-Identifier: BSD-3-Clause
"""The implicit matrix product on tensor cores, on the emulator."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from cases import variants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnkern.testing import Call, check_equal, derivatives, random_integers
from cnnkern.testing.devices import emulator, running
from cnnkern.testing.directions import DIRECTIONS, Operands, draw, expected, run, serving
from cnnkern.testing.problems import conv_problems, transposed_problems
from cnnkern.testing.verify import verify_problem

simt = emulator()
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(simt is None, reason="the emulator is not built: make emulator"),
]
DTYPES = ("float16", "bfloat16")
PRECISIONS = ("dtype=float16", "dtype=bfloat16", "tf32")

# Each way to read each operand, each a little larger than one tile or one step.
PROBLEMS = [
    "conv2d 2x32x9x11 40x32x3x3 padding=1 bias relu",  # steps; filters across in the gradient
    "conv2d 1x64x13x12 72x64x1x1 bias",
    "conv2d 2x32x12x13 64x32x3x3 stride=2 padding=1",  # phases
    "conv2d 1x32x10x9 33x32x4x5 stride=3,2 padding=2:1,0:3 dilation=1,2 bias",
    "conv2d 1x8x14x15 16x8x3x3 padding=1",  # chunks
    "conv2d 1x24x9x8 20x24x3x3 padding=1 bias",
    "conv2d 2x3x17x19 24x3x7x7 stride=2 padding=3 bias relu",  # packed to 4 channels
    "conv2d 1x12x9x8 6x12x3x3 padding=1",  # halves of chunks, in place where channels are last
    "conv2d 1x64x8x8 96x32x3x3 padding=1 bias",  # groups
    "conv2d 1x20x9x7 10x10x3x2 padding=1:0,2:1 bias",  # packed groups
    "conv1d 2x5x70 7x5x9 stride=4 padding=3 bias",
    "conv3d 1x8x5x6x7 17x8x2x3x3 padding=1 bias",
    "conv2d 1x16x7x7 8x16x3x3 stride=9 padding=1",  # a stride with more phases than a launch
    "conv2d 1x32x5x5 32x32x1x1 stride=2",  # phases without taps
    "conv_transpose2d 1x32x6x7 32x24x4x4 stride=2 padding=1 bias relu",
    "conv_transpose2d 2x5x6x7 5x6x3x3 stride=2 output_padding=1 bias",
]


def _check_all(problem: str, call: Call, operands: Operands, values: list[torch.Tensor]) -> None:
    for direction in DIRECTIONS:
        results = run(call, direction, operands, "implicit_gemm")
        for result, y64 in zip(results, expected(call, direction, values), strict=True):
            check_equal(result, y64, call.dtype, name=f"{problem}: {direction}")


def _check_integers(problem: str, seed: int = 0) -> None:
    """At addresses of every kind, and at such that vectors serve."""
    call = Call.parse(problem)
    odd = draw(call, random_integers, seed=seed)
    doubles = [t.double() for t in odd.tensors]
    values = derivatives(call, doubles, odd.grad.double())
    even = Operands(odd.input.clone(), odd.weight.clone(), odd.bias, odd.grad.clone())
    for operands in (odd, even):
        _check_all(problem, call, operands, values)


def _everywhere(problems: list[str]) -> list[str]:
    """In each format and precision that tensor cores have."""
    return [
        problem if "dtype=" in problem else f"{problem} tf32"
        for problem in variants(problems, dtypes=("float32", *DTYPES))
    ]


@pytest.mark.parametrize("problem", _everywhere(PROBLEMS), ids=str)
def test_integers_are_exact(problem):
    with running("emulated", problem):
        _check_integers(problem)


@pytest.mark.parametrize("problem", _everywhere(PROBLEMS), ids=str)
def test_errors_are_within_the_rule(problem):
    for outcome in verify_problem(problem, device="emulated", algorithms=["implicit_gemm"]):
        assert outcome.verdict == "passed", f"{problem}: {outcome}"


# Of a whole tile and more, along both sides.
LARGE = [
    "conv2d 1x32x14x13 136x32x3x3 padding=1 bias relu",
    "conv2d 1x96x15x13 72x96x1x1",
    "conv2d 2x32x17x15 130x32x3x3 stride=2 padding=1",
    "conv2d 1x8x17x15 72x8x3x3 padding=1",
    "conv2d 1x4x17x15 72x4x5x5 padding=2",
]


@pytest.mark.parametrize("problem", _everywhere(LARGE), ids=str)
def test_the_tiles_of_large_layers(problem):
    with running("emulated", problem):
        usual = simt.enough_blocks(0)
        try:
            _check_integers(problem)
        finally:
            simt.enough_blocks(usual)


@pytest.mark.parametrize("problem", [PROBLEMS[0], PROBLEMS[6], PROBLEMS[9]], ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_launch_a_sample_gives_the_same(problem, precision):
    """As where offsets of a whole batch would not fit int32."""
    problem = f"{problem} {precision}".replace("1x20", "3x20")
    with running("emulated", problem):
        simt.always_wide(True)
        try:
            _check_integers(problem)
        finally:
            simt.always_wide(False)


@pytest.mark.parametrize("format", ["contiguous", "channels_last"])
def test_shared_memory_has_no_bank_conflicts(format):
    """Of ldmatrix, in all three directions, in every tile."""
    with running("emulated"):
        usual = simt.enough_blocks(132)
        try:
            for blocks, (weight, dtype) in product(
                (0, 132), product(("136x32x3x3", "72x32x3x3", "24x8x3x3", "24x4x3x3"), DTYPES)
            ):
                simt.enough_blocks(blocks)
                channels = weight.split("x")[1]
                text = f"conv2d 1x{channels}x12x12 {weight} padding=1 dtype={dtype} format={format}"
                call = Call.parse(text)
                operands = draw(call, random_integers)
                for direction in DIRECTIONS:
                    simt.reset_stats()
                    run(call, direction, operands, "implicit_gemm")
                    counted = simt.stats()
                    assert counted["ldmatrix"] > 0
                    assert counted["ldmatrix_conflicts"] == 0, f"{text}: {direction}"
        finally:
            simt.enough_blocks(usual)


quick = settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)


@quick
@given(conv_problems(dtypes=DTYPES), st.integers(0, 99))
def test_random_convolutions(problem, seed):
    _check_random(problem, seed)


@quick
@given(conv_problems(dtypes=("float32",)), st.integers(0, 99))
def test_random_convolutions_in_tf32(problem, seed):
    _check_random(f"{problem} tf32", seed)


@quick
@given(transposed_problems(dtypes=DTYPES), st.integers(0, 99))
def test_random_transposed_convolutions(problem, seed):
    _check_random(problem, seed)


def _check_random(problem: str, seed: int) -> None:
    call = Call.parse(problem)
    with running("emulated", problem):
        operands = draw(call, random_integers, seed=seed)
        doubles = [t.double() for t in operands.tensors]
        values = derivatives(call, doubles, operands.grad.double())
        for direction in DIRECTIONS:
            if "implicit_gemm" not in serving(call, direction, "H200"):
                continue  # depthwise, or nothing to sum
            results = run(call, direction, operands, "implicit_gemm")
            for result, y64 in zip(results, expected(call, direction, values), strict=True):
                check_equal(result, y64, call.dtype, name=f"{problem}: {direction}")
