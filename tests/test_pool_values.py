# SPDX-License-Identifier: BSD-3-Clause
"""Which element a maximum picks: NaN, ties, -infinity, indices. torch is the judge."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from cases import MAX_POOL, lines, variants
from support.pool_inputs import INPUTS

from cnnkern import functional
from cnnkern.testing import Call, random_normal

# torch needs paddings that agree, and writes out of bounds for windows without an element.
LIKE_TORCH = [
    line
    for name, group in MAX_POOL.items()
    for line in group
    if name not in ("padding that differs", "windows without an element")
]


def _pooled(function, call, x, grad):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y, indices = call.run(function, [x], return_indices=True)
    y.backward(grad)
    return y.detach(), indices, x.grad


@pytest.mark.parametrize("values", INPUTS, ids=lambda f: f.__name__.strip("_").replace("_", " "))
@pytest.mark.parametrize("problem", variants(LIKE_TORCH, dtypes=("float32", "bfloat16")), ids=str)
def test_picks_what_torch_picks(problem, values):
    call = Call.parse(problem)
    generator = torch.Generator().manual_seed(0)
    x = call.laid_out(values(call, generator))
    # A power of two for each window, so that sums of gradients are exact in every order.
    grad = call.laid_out(torch.ones(call.output_size, dtype=call.dtype))
    y, indices, dx = _pooled(getattr(functional, call.op), call, x, grad)
    # In channels_last_3d torch forgets the depth of a window that holds nothing but -infinity.
    dense = x.contiguous()
    y_torch, indices_torch, dx_torch = _pooled(getattr(F, call.op), call, dense, grad.contiguous())
    assert torch.equal(indices, indices_torch)
    torch.testing.assert_close(y, y_torch, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(y.nan_to_num(1).signbit(), y_torch.nan_to_num(1).signbit())
    torch.testing.assert_close(dx, dx_torch, rtol=0, atol=0)


@pytest.mark.parametrize("problem", variants(lines(MAX_POOL), dtypes=("float32",)), ids=str)
def test_indices_point_at_the_maximum(problem):
    call = Call.parse(problem)
    x = call.laid_out(random_normal(call.input_size, call.dtype, torch.Generator().manual_seed(0)))
    y, indices = call.run(getattr(functional, call.op), [x], return_indices=True)
    assert indices.dtype == torch.int64
    assert indices.shape == y.shape
    if not y.numel():
        return
    inside = y > -math.inf
    assert (indices >= 0).all()
    assert (indices < math.prod(call.input_size[2:])).all()
    found = x.flatten(2).gather(2, indices.flatten(2)).view(y.shape)
    assert torch.equal(found[inside], y[inside])
    empty = "windows without" in problem or not inside.all()
    assert (
        not empty or problem.rstrip().split(" format")[0] in MAX_POOL["windows without an element"]
    )


def test_first_of_equals_wins_and_the_last_nan():
    nan = math.nan
    x = torch.tensor([[[1.0, 5, 5, 2], [5, 0, nan, 1], [nan, 3, 3, 3]]])[None]
    y, indices = functional.max_pool2d(x[..., :2, :2], 2, return_indices=True)
    assert (y.item(), indices.item()) == (5, 1)
    y, indices = functional.max_pool2d(x, (3, 4), return_indices=True)
    assert math.isnan(y.item())
    assert indices.item() == 8


def test_gradient_of_a_row_of_minus_infinity_goes_to_its_first_element():
    x = torch.full((1, 1, 6), -math.inf, requires_grad=True)
    y = functional.max_pool1d(x, 3, padding=1)
    y.backward(torch.tensor([[[2.0, 3.0]]]))
    assert x.grad.flatten().tolist() == [2, 0, 3, 0, 0, 0]


def test_window_without_an_element_takes_no_gradient():
    x = torch.randn(1, 2, 1, 6, 6, requires_grad=True)
    y = functional.max_pool3d(x, 2, (4, 2, 2), (1, 0, 0), (2, 1, 3), ceil_mode=True)
    empty = y.detach() == -math.inf
    assert empty.any()
    y.backward(torch.where(empty, torch.nan, 1.0))
    assert x.grad.isfinite().all()
    assert x.grad.sum() == (~empty).sum()


def test_padding_never_wins():
    x = torch.full((1, 2, 5, 5), -7.0)
    assert torch.equal(functional.max_pool2d(x, 3, 1, 1), x)
    assert torch.equal(functional.max_pool2d(x, 3, 1, ((0, 1), (1, 1)))[..., :4, :], x[..., :4, :])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_and_pooling_again_gives_the_values_back(rank):
    x = torch.randn(2, 3, *[8] * rank)
    y, indices = getattr(functional, f"max_pool{rank}d")(x, 2, return_indices=True)
    wide = getattr(F, f"max_unpool{rank}d")(y, indices, 2)
    assert torch.equal(getattr(functional, f"max_pool{rank}d")(wide, 2).relu(), y.relu())


def test_channels_do_not_mix():
    x, order = torch.randn(2, 7, 9, 8), torch.tensor([3, 1, 6, 0, 2, 5, 4])
    for pool in (functional.max_pool2d, functional.avg_pool2d):
        assert torch.equal(pool(x[:, order], 3, 2, 1), pool(x, 3, 2, 1)[:, order])
