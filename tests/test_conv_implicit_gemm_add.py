# SPDX-License-Identifier: BSD-3-Clause
"""Convolution, addition and ReLU by one kernel on tensor cores, on the emulator."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from cases import variants
from hypothesis import given, settings
from hypothesis import strategies as st
from support.implicit_cuts import TILES, cut_into
from support.peak import allocated

from cnnkern.testing import (
    Call,
    check_close,
    check_equal,
    poisoned_allocations,
    random_integers,
    random_normal,
    reference,
)
from cnnkern.testing.devices import emulator, running
from cnnkern.testing.directions import Operands, draw, serving
from cnnkern.testing.problems import conv_problems

simt = emulator()
pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(simt is None, reason="the emulator is not built: make emulator"),
]
DTYPES = ("float16", "bfloat16")

# Each way to store a tile, most a little larger than one.
PROBLEMS = [
    "conv2d 2x32x9x11 40x32x3x3 padding=1 bias relu",
    "conv2d 1x64x13x12 72x64x1x1 bias relu",
    "conv2d 2x32x12x13 64x32x3x3 stride=2 padding=1",
    "conv2d 1x32x10x9 33x32x4x5 stride=3,2 padding=2:1,0:3 dilation=1,2 bias",  # odd columns
    "conv2d 1x8x14x15 16x8x3x3 padding=1 relu",  # chunks
    "conv2d 2x3x17x19 24x3x7x7 stride=2 padding=3 bias relu",  # packed
    "conv2d 1x12x9x8 6x12x3x3 padding=1",  # halves of chunks
    "conv2d 1x64x8x8 96x32x3x3 padding=1 bias relu",  # groups
    "conv2d 1x20x9x7 10x10x3x2 padding=1:0,2:1 bias",  # packed groups
    "conv1d 2x5x70 7x5x9 stride=4 padding=3 bias relu",
    "conv3d 1x8x5x6x7 17x8x2x3x3 padding=1 bias",
]
# Of a whole tile and more, along both sides.
LARGE = [
    "conv2d 1x32x14x13 136x32x3x3 padding=1 bias relu",
    "conv2d 1x96x15x13 72x96x1x1",
]
# Of small images and long sums, in parts that blocks may share.
PARTS = [
    "conv2d 2x128x5x4 72x128x3x3 padding=1 bias relu",
    "conv2d 3x512x3x4 33x512x2x1 bias",
    "conv2d 1x512x4x4 66x256x2x2 bias relu",  # groups
]


def _everywhere(problems, each=6):
    """In so many of the formats and precisions that tensor cores have, all taking turns."""
    texts = []
    for turn, problem in enumerate(problems):
        own = variants([problem], dtypes=("float32", *DTYPES))
        chosen = [own[(turn + i) % len(own)] for i in range(min(each, len(own)))]
        texts += [text if "dtype=" in text else f"{text} tf32" for text in chosen]
    return texts


def _convolve(call: Call, o: Operands, algorithm="implicit_gemm") -> torch.Tensor:
    lists = call.stride, call.flat_padding, call.dilation, call.groups
    return torch.ops.cnnkern.conv(o.input, o.weight, o.bias, *lists, call.relu, algorithm)


def _add(call: Call, o: Operands, algorithm="implicit_gemm") -> torch.Tensor:
    """The tensor that has the result's size, a gradient elsewhere, is added."""
    lists = call.stride, call.flat_padding, call.dilation, call.groups
    add = torch.ops.cnnkern.conv_add
    return add(o.input, o.weight, o.bias, o.grad, *lists, call.relu, algorithm)


def _exact(call: Call, o: Operands) -> torch.Tensor:
    y = reference(call, *(t.double() for t in o.tensors)) + o.grad.double()
    return y.relu() if call.relu else y


def _aligned(o: Operands) -> Operands:
    return Operands(o.input.clone(), o.weight.clone(), o.bias, o.grad.clone())


def _counted(function, *arguments) -> dict[str, int]:
    simt.reset_stats()
    function(*arguments)
    return simt.stats()


def _check_integers(problem: str, seed: int = 0) -> None:
    """At addresses of every kind."""
    call = Call.parse(problem)
    odd = draw(call, random_integers, seed=seed)
    y64 = _exact(call, odd)
    for operands in (odd, _aligned(odd)):
        with poisoned_allocations():
            y = _add(call, operands)
        check_equal(y, y64, call.dtype, name=problem)
    for guarded in odd.guards:
        guarded.check()


@pytest.mark.parametrize("problem", _everywhere(PROBLEMS), ids=str)
def test_integers_are_exact_and_no_kernel_is_added(problem):
    with running("emulated", problem):
        _check_integers(problem)
        call = Call.parse(problem)
        o = draw(call, random_integers)
        alone, together = _counted(_convolve, call, o), _counted(_add, call, o)
        assert together["launches"] == alone["launches"]
        assert together["bytes_stored"] == alone["bytes_stored"]


@pytest.mark.parametrize("problem", _everywhere(LARGE, 3), ids=str)
def test_the_tiles_of_large_layers(problem):
    for tile in ("large", "medium"):
        with running("emulated", problem), cut_into(tile):
            _check_integers(problem)


@pytest.mark.parametrize("problem", _everywhere(PARTS, 3), ids=str)
def test_every_cut_gives_the_same_bits(problem):
    call = Call.parse(problem)
    with running("emulated", problem):
        _check_integers(problem)
        o = _aligned(draw(call, random_normal))
        results = []
        for tile, split in product(TILES, (False, True)):
            with cut_into(tile, split):
                _check_integers(problem)
                results.append(_add(call, o))
        assert all(torch.equal(y, results[0]) for y in results)


@pytest.mark.parametrize("problem", _everywhere([PROBLEMS[2], PROBLEMS[8]], 2), ids=str)
def test_a_launch_a_sample_gives_the_same(problem):
    """As where offsets of a whole batch would not fit int32."""
    with running("emulated", problem):
        simt.always_wide(True)
        try:
            _check_integers(problem)
        finally:
            simt.always_wide(False)


@pytest.mark.parametrize("problem", _everywhere([*PROBLEMS[:5], *PARTS], 3), ids=str)
def test_errors_are_within_the_rule(problem):
    call = Call.parse(problem)
    with running("emulated", problem):
        o = draw(call, random_normal)
        y = _add(call, o)
    torchs = reference(call, *o.tensors) + o.grad
    exact, magnitude = (
        _exact(call, Operands(*(t if t is None else form(t) for t in _four(o))))
        for form in (torch.Tensor.double, lambda t: t.double().abs())
    )
    check_close(
        y,
        exact,
        torchs.relu() if call.relu else torchs,
        magnitude,
        call.dtype,
        accumulator_roundoff=call.accumulator_roundoff,
    )


def _four(o: Operands) -> tuple[torch.Tensor | None, ...]:
    return o.input, o.weight, o.bias, o.grad


def test_a_sum_that_leaves_little_is_rounded_once():
    """1 + 2^-11 of the convolution, less 1: float16 would lose it between two steps."""
    problem = "conv2d 1x32x8x8 16x32x1x1 dtype=float16"
    call = Call.parse(problem)
    with running("emulated", problem):
        x = torch.zeros(1, 32, 8, 8, dtype=torch.float16)
        x[:, 0], x[:, 1] = 1, 2.0**-11
        w = torch.ones(16, 32, 1, 1, dtype=torch.float16)
        o = Operands(x, w, None, torch.full((1, 16, 8, 8), -1.0, dtype=torch.float16))
        assert (_add(call, o) == 2.0**-11).all()


def test_what_is_not_finite():
    problem = "conv2d 2x32x15x17 24x32x3x3 padding=1 bias relu dtype=float16"
    call = Call.parse(problem)
    with running("emulated", problem):
        o = draw(call, random_integers)
        o.grad[0, 3, 5, 7], o.grad[1, 23, 14, 16] = math.nan, math.inf
        o.grad[0, 4] = -math.inf
        check = _exact(call, o).half()
        torch.testing.assert_close(_add(call, o), check, rtol=0, atol=0, equal_nan=True)


def test_a_sample_has_the_same_bits_in_every_batch():
    problem = "conv2d 5x32x8x7 24x32x3x3 padding=1 bias relu dtype=float16"
    call = Call.parse(problem)
    with running("emulated", problem):
        o = draw(call, random_normal)
        whole = _add(call, o)
        for i in range(5):
            one = Operands(o.input[i : i + 1], o.weight, o.bias, o.grad[i : i + 1])
            assert torch.equal(whole[i : i + 1], _add(call, one))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_added_is_read_once_and_nothing_lies_between(dtype):
    problem = f"conv2d 2x32x32x32 64x32x1x1 bias relu dtype={dtype} format=channels_last"
    call = Call.parse(problem)
    with running("emulated", problem):
        o = _aligned(draw(call, random_integers))
        result = 2 * math.prod(call.output_size)
        most, _ = allocated(lambda: _add(call, o))
        assert result <= most <= result + 2 * o.weight.numel() + 4096
        alone, together = _counted(_convolve, call, o), _counted(_add, call, o)
        assert together["bytes_loaded"] - alone["bytes_loaded"] == result
        assert together["bytes_stored"] == result
        assert together["widest_store"] == together["widest_load"] == 16
        assert together["ldmatrix_conflicts"] == 0


@pytest.mark.parametrize("algorithm", ["direct", "im2col"])
def test_other_kernels_add_afterwards(algorithm):
    problem = "conv2d 2x32x12x12 16x32x3x3 padding=1 bias relu dtype=float16"
    call = Call.parse(problem)
    with running("emulated", problem):
        o = draw(call, random_integers)
        check_equal(_add(call, o, algorithm), _exact(call, o), call.dtype, name=algorithm)


@settings(max_examples=100)
@given(conv_problems(dtypes=DTYPES), st.integers(0, 99))
def test_random_problems(problem, seed):
    _check_random(problem, seed)


@settings(max_examples=50)
@given(conv_problems(dtypes=("float32",)), st.integers(0, 99))
def test_random_problems_in_tf32(problem, seed):
    _check_random(f"{problem} tf32", seed)


def _check_random(problem: str, seed: int) -> None:
    call = Call.parse(problem)
    with running("emulated", problem):
        if "implicit_gemm" in serving(call, "forward", "H200") and math.prod(call.output_size):
            _check_integers(problem, seed)
