# SPDX-License-Identifier: BSD-3-Clause
"""Pools of the one case list, on every backend: exact, accurate, and torch's choice of maxima."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from cases import ADAPTIVE_AVG_POOL, ADAPTIVE_MAX_POOL, AVG_POOL, MAX_POOL, lines, rotated
from support.pool_inputs import INPUTS

from cnnkern import functional
from cnnkern.testing import Call, check_problem, derivatives, random_normal

# Divided by 4: exact in every dtype here, so the sums behind it are too.
SUMS = [
    f"{line} divisor=4" for line in lines(AVG_POOL) if "divisor" not in line and "1d" not in line
]
# torch needs paddings that agree, and writes out of bounds for windows without an element.
LIKE_TORCH = [
    line
    for name, group in MAX_POOL.items()
    for line in group
    if name not in ("padding that differs", "windows without an element")
]
# The largest of these are for threads of a CPU.
ADAPTIVE = [
    [line for name, group in table.items() if name != "shared by threads" for line in group]
    for table in (ADAPTIVE_MAX_POOL, ADAPTIVE_AVG_POOL)
]


# torch refuses the gradient of an output without elements.
ADAPTIVE_LIKE_TORCH = [line for line in ADAPTIVE[0][::3] if 0 not in Call.parse(line).output_size]


@pytest.mark.parametrize("problem", rotated(lines(MAX_POOL), 8), ids=str)
def test_max_pool_is_exact(problem, backend):
    check_problem(problem, integers=True, device=backend.device)


@pytest.mark.parametrize("problem", rotated(lines(MAX_POOL), 4), ids=str)
def test_max_pool_of_odd_memory(problem, backend):
    report = check_problem(problem, strided=True, device=backend.device)
    assert report.errors["output"].error.maximum == 0


@pytest.mark.parametrize("problem", rotated(SUMS, 8), ids=str)
def test_sums_of_avg_pool_are_exact(problem, backend):
    check_problem(problem, integers=True, device=backend.device)


@pytest.mark.parametrize("problem", rotated(lines(AVG_POOL), 8), ids=str)
def test_avg_pool_is_accurate(problem, backend):
    check_problem(problem, strided=True, device=backend.device)


@pytest.mark.parametrize("problem", rotated(ADAPTIVE[0], 4), ids=str)
def test_adaptive_max_pool_is_exact(problem, backend):
    check_problem(problem, integers=True, device=backend.device)


@pytest.mark.parametrize("problem", rotated(ADAPTIVE[1], 4), ids=str)
def test_adaptive_avg_pool_is_accurate(problem, backend):
    check_problem(problem, device=backend.device)


@pytest.mark.parametrize("values", INPUTS, ids=lambda f: f.__name__.strip("_").replace("_", " "))
@pytest.mark.parametrize("problem", rotated(LIKE_TORCH, 2) + ADAPTIVE_LIKE_TORCH, ids=str)
def test_picks_what_torch_picks(problem, values, backend):
    call = Call.parse(problem)
    x = values(call, torch.Generator().manual_seed(0))
    mine = call.laid_out(x.clone()).to(backend.device).requires_grad_()
    y, indices = call.run(getattr(functional, call.op), [mine], return_indices=True)
    y.backward(torch.ones_like(y))
    theirs = x.clone().contiguous().requires_grad_()
    y_torch, indices_torch = call.run(getattr(F, call.op), [theirs], return_indices=True)
    y_torch.backward(torch.ones_like(y_torch))
    assert torch.equal(indices.cpu(), indices_torch)
    torch.testing.assert_close(y.detach().cpu(), y_torch.detach(), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(mine.grad.cpu(), theirs.grad, rtol=0, atol=0)


@pytest.mark.parametrize("problem", rotated(lines(MAX_POOL), 1) + ADAPTIVE[0][::3], ids=str)
def test_tangents_gather(problem, backend):
    call = Call.parse(problem)
    x = random_normal(call.input_size, torch.float64, torch.Generator().manual_seed(0))
    t = random_normal(call.input_size, torch.float64, torch.Generator().manual_seed(1))
    lists, count = (*call.window_lists, call.ceil_mode), call.window_count
    where = call.laid_out(x).to(backend.device)
    _, argmax = torch.ops.cnnkern.max_pool(where, *lists, True, count)
    tangent = torch.ops.cnnkern.max_pool_gather(call.laid_out(t).to(where), argmax, *lists, count)
    # The adjoint of the gather is the gradient: <gather(t), g> = <t, grad(g)>, exactly for 0 and 1.
    grad = torch.ones(call.output_size, dtype=torch.float64)
    back = derivatives(call, [x], grad)[1]
    finite = tangent.isfinite().cpu()
    assert torch.allclose((tangent.cpu()[finite]).sum(), (back * t).sum())
