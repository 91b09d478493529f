# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive pools: values, choices and gradients of torch's, one byte an argmax, sliding windows."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import ADAPTIVE_AVG_POOL, ADAPTIVE_MAX_POOL, lines, rotated, variants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.pool_inputs import INPUTS
from support.recording import Operators, saved_tensors
from torch import Tensor

import cnnkern
from cnnkern import functional
from cnnkern.testing import Call, check_problem, random_integers, random_normal
from cnnkern.testing.problems import adaptive_problems
from cnnkern.testing.reference import reference

quick = settings(max_examples=150, suppress_health_check=list(HealthCheck))
OPS = torch.ops.cnnkern
# torch refuses the gradient of an output without elements.
LIKE_TORCH = [
    line for line in lines(ADAPTIVE_MAX_POOL) if 0 not in Call.parse(line).output_size[1:]
]
FEW = [
    "adaptive_max_pool1d 2x5x19 output=4",
    "adaptive_max_pool2d 2x9x11x13 output=3,5",
    "adaptive_max_pool3d 1x3x4x5x6 output=3,2,4",
    "adaptive_max_pool2d 1x3x39x41 output=2",
]


def own(call: Call) -> Any:
    return getattr(functional, call.op)


@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("problem", variants(lines(ADAPTIVE_MAX_POOL)), ids=str)
def test_max_pool_is_exact(problem: str, strided: bool) -> None:
    check_problem(problem, integers=True, strided=strided)


@pytest.mark.parametrize("problem", rotated(lines(ADAPTIVE_MAX_POOL), 3), ids=str)
def test_max_pool_is_accurate(problem: str) -> None:
    assert check_problem(problem).errors["output"].error.maximum == 0


@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("problem", variants(lines(ADAPTIVE_AVG_POOL)), ids=str)
def test_avg_pool_is_accurate(problem: str, strided: bool) -> None:
    check_problem(problem, strided=strided)


@pytest.mark.parametrize("problem", variants(lines(ADAPTIVE_AVG_POOL), ("float64",)), ids=str)
def test_sums_of_avg_pool_are_whole(problem: str) -> None:
    call = Call.parse(problem)
    x = call.laid_out(random_integers(call.input_size, call.dtype, torch.Generator()))
    # Times its window's size each average is the whole number that was divided.
    sizes = torch.ones(())
    for n, parts in zip(call.input_size[2:], call.output_size[2:], strict=True):
        along = [-(-(p + 1) * n // parts) - p * n // parts for p in range(parts)]
        sizes = sizes[..., None] * torch.tensor(along, dtype=torch.float64)
    sums = call.run(own(call), [x]) * sizes
    torch.testing.assert_close(sums, sums.round(), rtol=0, atol=1e-11)
    assert torch.equal(sums.round(), (reference(call, x) * sizes).round())


@quick
@given(adaptive_problems("max"), st.booleans(), st.integers(0, 99))
def test_random_max_pools(problem: str, strided: bool, seed: int) -> None:
    check_problem(problem, strided=strided, seed=seed)
    check_problem(problem, strided=strided, seed=seed, integers=True)


@quick
@given(adaptive_problems("avg"), st.booleans(), st.integers(0, 99))
def test_random_avg_pools(problem: str, strided: bool, seed: int) -> None:
    check_problem(problem, strided=strided, seed=seed)


def picked(function: Any, call: Call, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y, indices = call.run(function, [x], return_indices=True)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    return y.detach(), indices, x.grad


@pytest.mark.parametrize("values", INPUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("problem", rotated(LIKE_TORCH, 2), ids=str)
def test_picks_what_torch_picks(problem: str, values: Any) -> None:
    call = Call.parse(problem)
    x = values(call, torch.Generator().manual_seed(0))
    y, indices, dx = picked(own(call), call, call.laid_out(x))
    y_torch, indices_torch, dx_torch = picked(getattr(F, call.op), call, x.contiguous())
    assert torch.equal(indices, indices_torch)
    torch.testing.assert_close(y, y_torch, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(y.nan_to_num(1).signbit(), y_torch.nan_to_num(1).signbit())
    torch.testing.assert_close(dx, dx_torch, rtol=0, atol=0)


@pytest.mark.parametrize("problem", lines(ADAPTIVE_MAX_POOL), ids=str)
def test_argmax_is_one_byte_where_the_largest_window_has_256_taps(problem: str) -> None:
    call = Call.parse(problem)
    x = random_normal(call.input_size, call.dtype, torch.Generator()).requires_grad_()
    with saved_tensors() as saved:
        y = call.run(own(call), [x])
    taps = math.prod(
        max((-(-(p + 1) * n // parts) - p * n // parts for p in range(parts)), default=1)
        for n, parts in zip(call.input_size[2:], call.output_size[2:], strict=True)
    )
    wide = taps > 256 and y.numel() > 0
    assert [(t.dtype, t.numel()) for t in saved] == [
        (torch.int32 if wide else torch.uint8, y.numel())
    ]


@pytest.mark.parametrize("problem", lines(ADAPTIVE_MAX_POOL, ADAPTIVE_AVG_POOL), ids=str)
def test_windows_of_one_size_slide(problem: str) -> None:
    call, parsed = Call.parse(problem), cnnkern._C.parse(problem)
    pairs = list(zip(call.input_size[2:], call.output_size[2:], strict=True))
    even = all(parts == 0 or n % parts == 0 for n, parts in pairs)
    sliding = parsed.sliding
    assert (sliding is not None) == even
    if not even or 0 in call.output_size:
        return
    size = tuple(n // parts for n, parts in pairs)
    assert str(sliding) == str(cnnkern._C.parse(
        f"{call.op.removeprefix('adaptive_')} {problem.split()[1]} "
        f"kernel={','.join(map(str, size))}"
    ))  # fmt: skip
    x = call.laid_out(random_normal(call.input_size, call.dtype, torch.Generator()))
    x.requires_grad_()
    results = []
    for y in (
        call.run(own(call), [x]),
        getattr(functional, call.op.removeprefix("adaptive_"))(x, size),
    ):
        results.append((y, *torch.autograd.grad(y, x, torch.ones_like(y))))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("problem", variants(FEW, ("float32",)), ids=str)
def test_same_bits_on_any_number_of_threads_and_in_any_batch(problem: str) -> None:
    for call in (Call.parse(problem), Call.parse(problem.replace("max", "avg"))):
        size = (6, *call.input_size[1:])
        x = call.laid_out(random_normal(size, call.dtype, torch.Generator())).requires_grad_()
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = own(call)(x, call.output_size[2:])
            results.append((y, *torch.autograd.grad(y.square().sum(), x)))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        alone = own(call)(x[4:5], call.output_size[2:])
        assert torch.equal(alone, results[0][0][4:5])


def test_backward_runs_one_operator_and_an_average_saves_nothing() -> None:
    x = torch.randn(2, 3, 8, 9, requires_grad=True)
    for pool, name, kept in (
        (functional.adaptive_max_pool2d, "max_pool_grad", 1),
        (functional.adaptive_avg_pool2d, "avg_pool_grad", 0),
    ):
        with saved_tensors() as saved:
            y = pool(x, 3)
        with Operators() as operators:
            y.backward(torch.ones_like(y))
        assert (operators.names, len(saved)) == ([name], kept)


def test_none_keeps_a_size_and_indices_have_their_own_function() -> None:
    x = torch.randn(2, 3, 8, 9)
    assert functional.adaptive_avg_pool2d(x, (None, 4)).shape == (2, 3, 8, 4)
    assert functional.adaptive_max_pool2d(x[0], [3, None]).shape == (3, 3, 9)
    for flag in ((), (False,)):
        pair = functional.adaptive_max_pool2d_with_indices(x, 3, *flag)
        expected = F.adaptive_max_pool2d_with_indices(x, 3)
        assert all(torch.equal(a, b) for a, b in zip(pair, expected, strict=True))


@pytest.mark.parametrize("problem", FEW, ids=str)
def test_formats_and_unbatched_inputs(problem: str) -> None:
    call = Call.parse(problem)
    x = random_normal(call.input_size, call.dtype, torch.Generator())
    size = call.output_size[2:]
    assert torch.equal(own(call)(x[0], size), own(call)(x, size)[0])
    if call.rank > 1:
        kind: Any = (torch.channels_last, torch.channels_last_3d)[call.rank - 2]
        last = x.to(memory_format=kind).requires_grad_()
        y = own(call)(last, size)
        y.sum().backward()
        assert y.is_contiguous(memory_format=kind)
        assert last.grad is not None
        assert last.grad.is_contiguous(memory_format=kind)


def test_autocast_keeps_the_type() -> None:
    x = torch.randn(1, 2, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert functional.adaptive_avg_pool2d(x, 2).dtype == torch.float32


def test_explanation_says_which_windows() -> None:
    text = str(cnnkern.explain("adaptive_avg_pool2d 8x512x7x7 output=1"))
    assert "windows slide: avg_pool2d 8x512x7x7 kernel=7\n" in text
    text = str(cnnkern.explain("adaptive_max_pool2d 2x3x37x62 output=7"))
    assert "windows of different sizes, at most 7x10\n" in text
    layer = torch.nn.AdaptiveMaxPool3d((None, 2, 1))
    problem = cnnkern.explain(layer, torch.zeros(3, 4, 5, 6)).problem
    assert str(problem) == "adaptive_max_pool3d 1x3x4x5x6 output=4,2,1"


def test_a_wild_argmax_is_harmless() -> None:
    argmax = torch.randint(0, 256, (1, 2, 3, 4), dtype=torch.uint8)
    lists: Any = ((), (), (), ())
    for input_size in ((1, 2, 7, 10), (1, 2, 2, 3)):
        dy = torch.randn(1, 2, 3, 4)
        dx = OPS.max_pool_grad(dy, argmax, input_size, *lists, False, (3, 4))
        assert dx.shape == input_size
        y = OPS.max_pool_gather(torch.randn(input_size), argmax, *lists, False, (3, 4))
        assert y.shape == dy.shape
        at = OPS.max_pool_indices(argmax, input_size, *lists, False, (3, 4))
        assert ((at >= 0) & (at < math.prod(input_size[2:]))).all()
