# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions of the one case list, on every backend: exact, accurate, in any memory."""

from __future__ import annotations

import pytest
import torch
from cases import CONV, CONV_TRANSPOSE, LONG_SUMS, lines, rotated, variants
from support.views import VIEWS

from cnnkern.testing import (
    Call,
    check_close,
    check_equal,
    check_problem,
    derivatives,
    magnitudes,
    poisoned_allocations,
    random_integers,
    random_normal,
    truth,
)
from cnnkern.testing.directions import DIRECTIONS, draw, expected, run, serving

PROBLEMS = lines(CONV, CONV_TRANSPOSE)


@pytest.mark.parametrize("problem", rotated(PROBLEMS, 3), ids=str)
def test_every_algorithm_is_exact(problem, backend):
    call = Call.parse(problem)
    operands = draw(call, random_integers, device=backend.device)
    doubles = [t.double().cpu() for t in operands.tensors]
    values = derivatives(call, doubles, operands.grad.double().cpu())
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction, backend.plans):
            with poisoned_allocations():
                results = run(call, direction, operands, algorithm)
            for result, y64 in zip(results, expected(call, direction, values), strict=True):
                name = f"{call.text}: {direction}, {algorithm}"
                check_equal(result.cpu(), y64, call.dtype, name=name)


@pytest.mark.parametrize("problem", rotated(PROBLEMS, 2), ids=str)
def test_function_and_its_gradients_are_accurate(problem, backend):
    check_problem(problem, strided=True, device=backend.device)


@pytest.mark.parametrize("problem", rotated(LONG_SUMS, 3), ids=str)
def test_every_algorithm_sums_accurately(problem, backend):
    call = Call.parse(problem)
    operands = draw(call, random_normal, device=backend.device)
    tensors, grad = [t.cpu() for t in operands.tensors], operands.grad.cpu()
    values = zip(*(f(call, tensors, grad) for f in (truth, derivatives, magnitudes)), strict=True)
    values = list(values)
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction, backend.plans):
            results = run(call, direction, operands, algorithm)
            for result, (y64, theirs, sums) in zip(
                results, expected(call, direction, values), strict=True
            ):
                name = f"{problem}: {direction}, {algorithm}"
                check_close(result.cpu(), y64, theirs, sums, call.dtype, name=name)


FEW = [
    "conv2d 2x3x9x11 4x3x3x3 bias relu",
    "conv2d 3x8x7x7 8x1x3x3 padding=1 bias",
    "conv2d 2x6x7x7 9x2x3x2 stride=2 padding=0:1,1:0 bias",
    "conv1d 2x5x19 7x5x3 dilation=2 bias",
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("problem", FEW, ids=str)
def test_odd_views(problem, view, backend):
    call = Call.parse(problem)
    dense = draw(call, random_integers, device=backend.device)
    odd = type(dense)(
        *(VIEWS[view](t) for t in (dense.input, dense.weight)), dense.bias, VIEWS[view](dense.grad)
    )
    doubles = [t.double().cpu() for t in odd.tensors]
    values = derivatives(call, doubles, odd.grad.double().cpu())
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction, backend.plans):
            for result, y64 in zip(
                run(call, direction, odd, algorithm), expected(call, direction, values), strict=True
            ):
                name = f"{problem}: {direction}, {algorithm}"
                check_equal(result.cpu(), y64, call.dtype, name=name)


@pytest.mark.parametrize("problem", FEW, ids=str)
def test_the_same_bits_every_time(problem, backend):
    call = Call.parse(problem)
    operands = draw(call, random_normal, device=backend.device)
    for direction in DIRECTIONS:
        for algorithm in serving(call, direction, backend.plans):
            first, second = (run(call, direction, operands, algorithm) for _ in range(2))
            for a, b in zip(first, second, strict=True):
                assert torch.equal(a, b), f"{direction}, {algorithm}"


@pytest.mark.parametrize("problem", rotated(FEW, 2), ids=str)
def test_a_sample_has_the_same_bits_in_every_batch(problem, backend):
    call = Call.parse(problem)
    operands = draw(call, random_normal, device=backend.device)
    for direction in ("forward", "input_grad"):
        for algorithm in ("direct", "depthwise"):
            if algorithm not in serving(call, direction, backend.plans):
                continue
            whole = run(call, direction, operands, algorithm)[0]
            one = Call.parse(_with_batch_of_one(problem))
            alone = type(operands)(
                operands.input[:1], operands.weight, operands.bias, operands.grad[:1]
            )
            assert torch.equal(whole[:1], run(one, direction, alone, algorithm)[0])


def _with_batch_of_one(problem: str) -> str:
    op, sizes, *rest = problem.split()
    return " ".join([op, "x".join(["1", *sizes.split("x")[1:]]), *rest])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_sums_are_float32(dtype, backend):
    # 2,048 + 1 is not a float16 and 256 + 1 not a bfloat16: an accumulator of either type sticks.
    x = torch.ones(1, 4096, 1, 1, dtype=dtype, device=backend.device)
    y = torch.ops.cnnkern.conv(x, x, None, [1, 1], [0] * 4, [1, 1], 1, False, "direct")
    assert y.item() == 4096


@pytest.mark.parametrize("problem", variants(FEW[:1], dtypes=("float32",)), ids=str)
def test_relu_keeps_nan(problem, backend):
    call = Call.parse(problem)
    operands = draw(call, random_normal, device=backend.device)
    operands.input[0, 0, 4, 4] = float("nan")
    for algorithm in serving(call, "forward", backend.plans):
        y = run(call, "forward", operands, algorithm)[0]
        assert y[0].isnan().any()
        assert (y[~y.isnan()] >= 0).all()
