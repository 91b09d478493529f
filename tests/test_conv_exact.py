# SPDX-License-Identifier: BSD-3-Clause
"""Small integers come out exactly, from every algorithm: any slip of an index shows."""

from __future__ import annotations

import pytest
import torch
from cases import CONV, CONV_TRANSPOSE, lines, variants

from cnnkern.testing import (
    Call,
    check_equal,
    check_problem,
    derivatives,
    poisoned_allocations,
    random_integers,
)
from cnnkern.testing.directions import CPU_ALGORITHMS, DIRECTIONS, draw, expected, run, serving

PROBLEMS = lines(CONV, CONV_TRANSPOSE)
# Large enough to be cut: where positions lose taps to padding, in chunks of a long reduction.
PARTS = [
    "conv2d 2x33x7x7 17x33x5x5 padding=2 bias relu",
    "conv2d 2x40x9x9 16x40x3x3 padding=3 dilation=3 bias",
    "conv2d 3x300x7x6 8x300x1x1 stride=2 padding=3 bias relu",
    "conv2d 2x24x13x9 24x1x3x3 stride=2 padding=1 groups=24 bias relu",
    "conv2d 2x136x6x7 136x1x5x5 padding=2 groups=136 bias",
    "conv3d 1x16x4x5x6 16x1x3x3x3 padding=1 groups=16 relu",
    "conv2d 2x520x11x11 9x520x3x3 stride=2 bias",  # a block past the usual strip
]


def _check_directions(call: Call, algorithms: dict[str, list[str]]) -> None:
    operands = draw(call, random_integers)
    doubles = [t.double() for t in operands.tensors]
    values = derivatives(call, doubles, operands.grad.double())
    for direction in DIRECTIONS:
        for algorithm in algorithms[direction]:
            with poisoned_allocations():
                results = run(call, direction, operands, algorithm)
            for result, y64 in zip(results, expected(call, direction, values), strict=True):
                name = f"{call.text}: {direction}, {algorithm}"
                check_equal(result, y64, call.dtype, name=name)


@pytest.mark.parametrize("problem", variants(PROBLEMS), ids=str)
def test_every_algorithm_is_exact(problem):
    call = Call.parse(problem)
    _check_directions(call, {direction: serving(call, direction) for direction in DIRECTIONS})


@pytest.mark.parametrize("problem", variants(PARTS), ids=str)
def test_parts_are_exact(problem):
    call = Call.parse(problem)
    _check_directions(call, {direction: serving(call, direction) for direction in DIRECTIONS})


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_function_and_its_gradients_are_exact(problem):
    check_problem(problem, integers=True)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("algorithm", CPU_ALGORITHMS)
def test_cases_reach_every_algorithm(algorithm, direction):
    served = [p for p in PROBLEMS if algorithm in serving(Call.parse(p), direction)]
    if algorithm == "winograd":
        assert len(served) >= 12 or (direction == "weight_grad" and not served)
        return
    assert len(served) >= 12
    assert {Call.parse(p).rank for p in served} == {1, 2, 3}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_refused_algorithm_says_why(direction):
    call = Call.parse("conv2d 1x4x6x6 8x4x3x3 padding=1")
    with pytest.raises(RuntimeError, match=r"depthwise.*C/groups is 4"):
        run(call, direction, draw(call, random_integers), "depthwise")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_sums_are_float32(dtype):
    # 2,048 + 1 is not a float16 and 256 + 1 not a bfloat16: an accumulator of either type sticks.
    x = torch.ones(1, 4096, 1, 1, dtype=dtype)
    y = torch.ops.cnnkern.conv(x, x, None, [1, 1], [0] * 4, [1, 1], 1, False, "auto")
    assert y.item() == 4096
