# SPDX-License-Identifier: BSD-3-Clause
"""The implicit matrix product on tensor cores, on the emulator."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from cases import rotated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.implicit_cuts import TILES, cut_into

from cnnkern.testing import Call, check_equal, derivatives, random_integers, random_normal
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


def _everywhere(problems: list[str], each: int = 6) -> list[str]:
    """In so many of the formats and precisions that tensor cores have, all taking turns."""
    return [
        problem if "dtype=" in problem else f"{problem} tf32"
        for problem in rotated(problems, each, ("float32", *DTYPES))
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


@pytest.mark.parametrize("problem", _everywhere(LARGE, 3), ids=str)
def test_the_tiles_of_large_layers(problem):
    for tile in ("large", "medium"):
        with running("emulated", problem), cut_into(tile):
            _check_integers(problem)


# Of small images and long sums, in parts that blocks may share.
FORWARD_PARTS = [
    "conv2d 2x128x5x4 72x128x3x3 padding=1 bias relu",
    "conv2d 3x512x3x4 33x512x2x1 bias",
    "conv2d 1x512x4x4 66x256x2x2 bias",  # groups
    "conv1d 2x544x12 40x544x3 stride=2 padding=1 bias",
    "conv_transpose2d 1x512x2x3 512x40x3x2 stride=2 bias relu",  # phases of 16 and 32 steps
]
GRADIENT_PARTS = [
    "conv2d 1x72x5x6 128x72x5x5 stride=2 padding=2",  # phases of 16 to 36 steps
    "conv2d 1x40x5x6 1024x40x1x1 stride=2",  # phases without taps
    "conv2d 1x40x18x5 1024x40x1x1 stride=17",  # more phases than a launch has
]
CUTS = [*product(TILES, (False, True))]


@pytest.mark.parametrize(
    ("problem", "direction"),
    [
        *((text, "forward") for text in _everywhere(FORWARD_PARTS, 3)),
        *((text, "input_grad") for text in _everywhere(GRADIENT_PARTS, 2)),
    ],
    ids=str,
)
def test_parts_of_a_sum(problem, direction):
    """Exact where operands are integers; and the same bits by every cut."""
    call = Call.parse(problem)
    operands, normal = draw(call, random_integers), draw(call, random_normal)
    doubles = [t.double() for t in operands.tensors]
    y64 = expected(call, direction, derivatives(call, doubles, operands.grad.double()))[0]
    with running("emulated", problem):
        results = []
        for tile, split in CUTS:
            with cut_into(tile, split):
                if tile == "medium":
                    result = run(call, direction, operands, "implicit_gemm")[0]
                    check_equal(result, y64, call.dtype, name=f"{problem}: {split}")
                results += run(call, direction, normal, "implicit_gemm")
        assert all(torch.equal(one, results[0]) for one in results)


@pytest.mark.parametrize(
    "problem", [f"{text} {word}" for text in FORWARD_PARTS[:2] for word in PRECISIONS]
)
def test_parts_do_not_depend_on_the_batch(problem):
    call = Call.parse(problem)
    operands = draw(call, random_normal)
    alone = Call.parse(problem.replace(f"{len(operands.input)}x", "1x", 1))
    first = Operands(operands.input[:1], operands.weight, operands.bias, operands.grad[:1])
    with running("emulated", problem):
        whole = run(call, "forward", operands, "implicit_gemm")[0]
        for split in (False, True):
            with cut_into("medium", split):
                one = run(alone, "forward", first, "implicit_gemm")[0]
            assert torch.equal(one[0], whole[0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_filters_of_a_weight_gradient_pass_by_pass(precision):
    """Where the sums of all would take too much memory."""
    problem = f"conv2d 2x20x7x6 290x20x3x3 padding=1 bias {precision}"
    with running("emulated", problem):
        usual = simt.implicit_sums_bytes(130 * 4 * 9 * 24)
        try:
            _check_integers(problem)
        finally:
            simt.implicit_sums_bytes(usual)


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
        weights = ("136x32x3x3", "72x32x3x3", "24x8x3x3", "24x4x3x3", "136x128x2x2")
        for tile, weight, dtype in product(TILES, weights, DTYPES):
            channels = weight.split("x")[1]
            text = f"conv2d 1x{channels}x12x12 {weight} padding=1 dtype={dtype} format={format}"
            call = Call.parse(text)
            operands = draw(call, random_integers)
            for direction in DIRECTIONS:
                simt.reset_stats()
                with cut_into(tile):
                    run(call, direction, operands, "implicit_gemm")
                counted = simt.stats()
                assert counted["ldmatrix"] > 0
                assert counted["ldmatrix_conflicts"] == 0, f"{text}: {direction}"


# Rows and columns of a warp's sums, warps: of each tile, and of the one that sums several parts.
@pytest.mark.parametrize(
    ("tile", "problem", "rows", "columns", "warp", "warps"),
    [
        ("large", "256x16x16 128x256x1x1", 128, 128, (64, 64), 4),
        ("large", "32x18x18 128x32x3x3", 128, 128, (64, 64), 4),
        ("large", "1024x16x16 128x1024x1x1", 128, 128, (64, 32), 8),
        ("medium", "32x18x18 64x32x3x3", 128, 64, (64, 32), 4),
        ("small", "64x16x16 64x64x1x1", 64, 64, (32, 32), 4),
    ],
)
def test_a_step_moves_what_the_model_counts(tile, problem, rows, columns, warp, warps):
    """docs/gpu.md has these numbers: of whole tiles, none of whose taps is in the padding."""
    call = Call.parse(f"conv2d 1x{problem} dtype=float16 format=channels_last")
    operands = draw(call, random_integers)
    even = Operands(*(t.clone(memory_format=torch.channels_last) for t in operands.tensors[:2]),
                    None, operands.grad)  # fmt: skip
    with running("emulated"), cut_into(tile):
        simt.reset_stats()
        run(call, "forward", even, "implicit_gemm")
        counted = simt.stats()
    channels, filters, (height, width) = call.input_size[1], call.output_size[1], (16, 16)
    terms = channels * call.weight_size[2] * call.weight_size[3]
    steps = terms // 32 * (height * width // rows) * (filters // columns)  # of all blocks
    assert counted["launches"] == 1
    assert counted["tensor_multiply_adds"] == steps * rows * columns * 32
    assert counted["ldmatrix"] * 8 == steps * warps * sum(warp) * 4
    assert counted["ldmatrix_conflicts"] == 0
    assert counted["bytes_loaded"] == steps * (rows + columns) * 64
    assert counted["bytes_stored"] == filters * height * width * 2
    assert (counted["widest_load"], counted["widest_store"]) == (16, 16)


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
