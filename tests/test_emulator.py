# SPDX-License-Identifier: BSD-3-Clause
"""The CUDA half on the emulator: schedules, wide offsets, memory, and the way back to the CPU."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from cases import variants

from cnnkern import functional
from cnnkern.testing import Call, check_equal, check_problem, derivatives, random_integers
from cnnkern.testing.devices import emulator, running
from cnnkern.testing.directions import DIRECTIONS, Operands, draw, expected, run, serving

simt = emulator()
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(simt is None, reason="the emulator is not built: make emulator"),
]

# One of each kernel, in both formats, larger than one block.
EACH = [
    "conv2d 2x5x13x14 18x5x3x3 stride=2 padding=1 bias relu",
    "conv2d 2x8x9x9 16x8x3x3 padding=1 bias format=channels_last dtype=bfloat16",
    "conv2d 1x6x15x17 6x1x3x3 padding=1 bias",
    "conv2d 1x6x15x17 12x1x5x5 stride=2 padding=2 format=channels_last dtype=float16",
    "conv1d 2x4x70 6x2x5 padding=2",
    "max_pool2d 1x5x21x23 kernel=3 stride=2 padding=1",
    "max_pool2d 1x12x9x11 kernel=2 format=channels_last dtype=float16",
    "avg_pool2d 1x5x21x23 kernel=3 stride=2 padding=1 format=channels_last",
    "avg_pool2d 1x9x7x7 kernel=7 dtype=bfloat16",
]
SEEDS = 50


def test_the_build_under_test_is_the_checked_one():
    assert simt.is_checked()


@pytest.mark.parametrize("problem", EACH, ids=str)
def test_no_schedule_of_threads_changes_or_breaks_anything(problem):
    call = Call.parse(problem)
    with running("emulated"):
        results = []
        for seed in range(SEEDS):
            simt.set_seed(seed)
            results.append(_all_results(call))
    for seed, result in enumerate(results[1:], 1):
        for first, other in zip(results[0], result, strict=True):
            assert torch.equal(first, other), f"seed {seed}"


def _all_results(call):
    if not call.is_pool:
        operands = draw(call, random_integers)
        return [
            result
            for direction in DIRECTIONS
            for algorithm in serving(call, direction, "H200")
            for result in run(call, direction, operands, algorithm)
        ]
    x = call.laid_out(
        random_integers(call.input_size, call.dtype, torch.Generator().manual_seed(0))
    ).requires_grad_()
    y = call.run(getattr(functional, call.op), [x])
    y.backward(torch.ones_like(y))
    return [y.detach(), x.grad]


@pytest.mark.parametrize("problem", EACH, ids=str)
def test_int64_offsets_give_the_same(problem):
    with running("emulated"):
        simt.always_wide(True)
        try:
            exact = not problem.startswith("avg")  # whose divisors are not all powers of two
            check_problem(problem, integers=exact)
            check_problem(problem, integers=exact, strided=True)
        finally:
            simt.always_wide(False)


# Every kind of memory, in problems that the plan's tiles for small layers would take.
LARGE = [
    "conv2d 1x8x19x17 33x8x3x3 padding=1 bias relu",
    "conv2d 2x16x9x10 9x16x3x3 stride=2 padding=1 bias",
    "conv2d 2x3x23x21 70x3x5x5 stride=2 padding=2",
    "conv2d 1x24x13x12 40x12x3x3 padding=1 dilation=2 bias",
    "conv2d 1x16x12x12 24x16x1x1 bias",
    "conv3d 1x4x5x6x7 17x4x2x3x3 padding=1",
    "conv_transpose2d 1x16x8x9 16x12x4x4 stride=2 padding=1 bias relu",
]


@pytest.mark.parametrize("problem", variants(LARGE), ids=str)
def test_the_tiles_of_large_layers(problem):
    with running("emulated", problem):
        usual = simt.enough_blocks(0)
        try:
            call = Call.parse(problem)
            odd = draw(call, random_integers)
            # At addresses that 16 bytes divide, so that vectors serve.
            even = Operands(odd.input.clone(), odd.weight, odd.bias, odd.grad.clone())
            doubles = [t.double() for t in odd.tensors]
            values = derivatives(call, doubles, odd.grad.double())
            for direction, operands in product(DIRECTIONS, (odd, even)):
                results = run(call, direction, operands, "direct")
                for result, y64 in zip(results, expected(call, direction, values), strict=True):
                    check_equal(result, y64, call.dtype, name=f"{problem}: {direction}")
        finally:
            simt.enough_blocks(usual)


def test_the_cpu_kernels_come_back():
    x, w = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    simt.reset_stats()
    with running("emulated"):
        functional.conv2d(x, w)
        assert simt.stats()["launches"] > 0
    simt.reset_stats()
    functional.conv2d(x, w)
    assert simt.stats()["launches"] == 0


def test_autograd_plans_and_modules_notice_nothing():
    with running("emulated"):
        for problem in ("conv_transpose2d 1x4x5x5 4x3x3x3 stride=2 padding=1 bias", *EACH[:2]):
            check_problem(problem)


@pytest.mark.parametrize(
    ("algorithm", "direction", "advice"),
    [
        ("direct", "weight_grad", r""),
        ("depthwise", "weight_grad", r""),
        ("im2col", "weight_grad", r"; algorithm 'direct' needs \d+ bytes"),
        ("im2col", "forward", r"; algorithm 'direct' needs none"),
    ],
)
def test_too_little_memory_for_a_workspace_is_an_error_with_advice(algorithm, direction, advice):
    weight = "16x1x3x3" if algorithm == "depthwise" else "16x16x3x3"
    problem = f"conv2d 8x16x40x40 {weight} padding=1"
    call = Call.parse(problem)
    operands = draw(call, random_integers)
    pattern = rf"no memory on cpu for the workspace of \d+ bytes of algorithm '{algorithm}'{advice}"
    with running("emulated"):
        simt.set_memory(1000)
        try:
            with pytest.raises(torch.OutOfMemoryError, match=pattern):
                run(call, direction, operands, algorithm)
        finally:
            simt.set_memory(2**62)
        doubles = [t.double() for t in operands.tensors]
        values = derivatives(call, doubles, operands.grad.double())
        result = run(call, direction, operands, algorithm)[0]
        wanted = values[2 if direction == "weight_grad" else 0]
        check_equal(result, wanted, call.dtype, name=problem)
