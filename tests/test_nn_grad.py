# SPDX-License-Identifier: BSD-3-Clause
"""cnnkern.nn.grad: torch.nn.grad's values, differentiable to any order, one operator each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.recording import Operators
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from cnnkern.nn import grad

# stride, padding, dilation, groups
GEOMETRY: list[tuple[int, int, int, int]] = [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1)]


def operands(rank: int, geometry: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Small integers: an input, a weight, and a gradient of the output."""
    groups = geometry[3]
    x = torch.randint(-4, 5, (2, 4, *(7, 6, 5)[:rank])).double()
    w = torch.randint(-4, 5, (6, 4 // groups, *(3, 2, 2)[:rank])).double()
    y = getattr(F, f"conv{rank}d")(x, w, None, *geometry)
    return x, w, torch.randint(-4, 5, y.shape).double()


def both(rank: int, side: str) -> tuple[Any, Any]:
    name = f"conv{rank}d_{side}"
    return getattr(grad, name), getattr(torch.nn.grad, name)


@pytest.mark.parametrize("geometry", GEOMETRY, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_values_are_torchs(rank: int, geometry: tuple[int, int, int, int]) -> None:
    x, w, g = operands(rank, geometry)
    ours, theirs = both(rank, "input")
    assert torch.equal(ours(x.shape, w, g, *geometry), theirs(x.shape, w, g, *geometry))
    ours, theirs = both(rank, "weight")
    assert torch.equal(ours(x, w.shape, g, *geometry), theirs(x, w.shape, g, *geometry))


def test_runs_one_operator() -> None:
    x, w, g = operands(2, GEOMETRY[0])
    with Operators() as operators:
        grad.conv2d_input(x.shape, w, g)
        grad.conv2d_weight(x, w.shape, g)
    assert operators.names == ["conv_input_grad", "conv_weight_grad"]


@pytest.mark.parametrize("rank", [1, 2])
def test_differentiable_to_any_order(rank: int) -> None:
    geometry = (2, 1, 1, 2)
    x, w = torch.randn(1, 2, *(4, 3)[:rank]).double(), torch.randn(2, 1, *(2, 2)[:rank]).double()
    g = torch.randn_like(getattr(F, f"conv{rank}d")(x, w, None, *geometry))
    x, w, g = (t.requires_grad_() for t in (x, w, g))
    input, weight = both(rank, "input")[0], both(rank, "weight")[0]

    def dx(w: Tensor, g: Tensor) -> Tensor:
        y: Tensor = input(x.shape, w, g, *geometry)
        return y

    def dw(x: Tensor, g: Tensor) -> Tensor:
        y: Tensor = weight(x, w.shape, g, *geometry)
        return y

    assert gradcheck(dx, (w, g), check_forward_ad=True)
    assert gradgradcheck(dx, (w, g))
    assert gradcheck(dw, (x, g), check_forward_ad=True)
    assert gradgradcheck(dw, (x, g))


def test_paddings_of_this_package() -> None:
    x = torch.randn(1, 2, 7, 7, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    for padding in ("same", ((2, 0), (1, 3))):
        y = torch.ops.cnnkern.conv(
            x,
            w,
            None,
            [2, 2],
            [1, 1, 1, 2] if padding == "same" else [2, 0, 1, 3],
            [1, 1],
            1,
            False,
            "auto",
        )
        g = torch.randn_like(y)
        dx, dw = torch.autograd.grad(y, (x, w), g)
        assert torch.equal(grad.conv2d_input(x.shape, w, g, 2, padding), dx)
        assert torch.equal(grad.conv2d_weight(x, w.shape, g, 2, padding), dw)


def test_refuses() -> None:
    x, w, g = operands(2, GEOMETRY[0])
    for kind, text, call in (
        (TypeError, "conv2d_input: expected weight to be a Tensor", (x.shape, None, g)),
        (TypeError, "conv2d_input: expected input_size to be made of ints", (7, w, g)),
        (TypeError, "conv2d_input: expected input_size", ((2, 4, 7.0, 6), w, g)),
        (RuntimeError, "conv2d_input: expected input_size of 4 values", ((2, 4, 7), w, g)),
        (RuntimeError, "conv2d input gradient: expected grad_output", ((2, 4, 9, 9), w, g)),
        (RuntimeError, "conv2d input gradient: expected", (x.shape, w, g.float())),
    ):
        with pytest.raises(kind, match=text):
            grad.conv2d_input(*call)
    with pytest.raises(RuntimeError, match="conv2d weight gradient: expected grad_output"):
        grad.conv2d_weight(x, w.shape, g, stride=2)
    with pytest.raises(ValueError, match="conv2d_weight: expected algorithm"):
        grad.conv2d_weight(x, w.shape, g, algorithm="magic")
    with pytest.raises(RuntimeError, match="conv1d_weight: expected weight_size of 3 values"):
        grad.conv1d_weight(x, w.shape, g)
