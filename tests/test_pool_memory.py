# SPDX-License-Identifier: BSD-3-Clause
"""What a pool keeps and runs. Its reads and writes: test_pool_exact and test_heap."""

from __future__ import annotations

import pytest
import torch
from cases import AVG_POOL, MAX_POOL, lines
from support.recording import Operators, saved_tensors
from support.views import VIEWS

from cnnkern import functional
from cnnkern.testing import Call, check_equal, derivatives, random_integers

FEW = [
    "max_pool1d 2x5x19 kernel=3 stride=2 padding=1",
    "max_pool2d 2x6x9x8 kernel=3 stride=2 padding=1 ceil",
    "max_pool3d 2x3x4x5x6 kernel=2 stride=1",
    "max_pool2d 1x3x20x20 kernel=17",
    "avg_pool1d 2x5x16 kernel=2",
    "avg_pool2d 2x6x9x8 kernel=2 stride=2 divisor=4",
    "avg_pool3d 2x3x4x5x6 kernel=2 stride=1",
]


def _draw(call, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = (call.input_size, call.output_size)
    return (call.laid_out(random_integers(size, call.dtype, generator)) for size in sizes)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("problem", FEW, ids=str)
def test_odd_views(problem, view):
    call = Call.parse(problem)
    x, grad = (VIEWS[view](t) for t in _draw(call))
    before = x.clone(), grad.clone()
    values = derivatives(call, [x.double()], grad.double())
    x.requires_grad_()
    y = call.run(getattr(functional, call.op), [x])
    results = [y.detach(), *torch.autograd.grad(y, x, grad)]
    for name, result, y64 in zip(("output", "input.grad"), results, values, strict=True):
        check_equal(result, y64, call.dtype, name=f"{problem}: {name}")
    assert torch.equal(before[0], x)
    assert torch.equal(before[1], grad)


@pytest.mark.parametrize("format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("problem", [p for p in FEW if "1d" not in p], ids=str)
def test_format_is_the_inputs(problem, format):
    call = Call.parse(f"{problem} format={format}")
    kind = (torch.channels_last, torch.channels_last_3d)[call.rank - 2]
    kind = kind if call.channels_last else torch.contiguous_format
    x, grad = _draw(call)
    y = call.run(getattr(functional, call.op), [x.requires_grad_()])
    y.backward(grad)
    assert y.is_contiguous(memory_format=kind)
    assert x.grad.is_contiguous(memory_format=kind)


@pytest.mark.parametrize("problem", lines(MAX_POOL), ids=str)
def test_max_pool_saves_its_argmax_alone(problem):
    call = Call.parse(problem)
    x, _ = _draw(call)
    with saved_tensors() as saved:
        y = call.run(getattr(functional, call.op), [x.requires_grad_()])
    taps = torch.Size(call.kernel_size).numel()
    assert [(t.dtype, t.numel()) for t in saved] == [
        (torch.uint8 if taps <= 256 else torch.int32, y.numel())
    ]


@pytest.mark.parametrize("problem", lines(AVG_POOL), ids=str)
def test_avg_pool_saves_nothing(problem):
    call = Call.parse(problem)
    x, _ = _draw(call)
    with saved_tensors() as saved:
        call.run(getattr(functional, call.op), [x.requires_grad_()])
    assert saved == []


@pytest.mark.parametrize("problem", [p for p in FEW if "max" in p], ids=str)
def test_max_pool_finds_no_argmax_that_nobody_needs(problem):
    call = Call.parse(problem)
    function = getattr(functional, call.op)
    x, _ = _draw(call)

    def argmax_asked_for(x, **extra):
        with Operators() as operators:
            call.run(function, [x], **extra)
        return [args[6] for name, args in operators.calls if name == "max_pool"]  # return_argmax

    assert argmax_asked_for(x) == [False]
    assert argmax_asked_for(x, return_indices=True) == [True]
    x.requires_grad_()
    assert argmax_asked_for(x) == [True]
    with torch.no_grad():
        assert argmax_asked_for(x) == [False]


def test_backward_runs_one_operator():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    for pool, name in (
        (functional.max_pool2d, "max_pool_grad"),
        (functional.avg_pool2d, "avg_pool_grad"),
    ):
        y = pool(x, 2)
        with Operators() as operators:
            y.backward(torch.ones_like(y))
        assert operators.names == [name]


def test_input_may_change_after_the_call():
    # Neither pool needs its input again, so writing over it is allowed, as an in-place ReLU does.
    for pool in (functional.max_pool2d, functional.avg_pool2d):
        x = torch.randn(1, 2, 6, 6, requires_grad=True)
        z = x * 1
        y = pool(z, 2)
        z.zero_()
        y.sum().backward()
        assert x.grad.sum() == y.numel()
