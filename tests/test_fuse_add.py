# SPDX-License-Identifier: BSD-3-Clause
"""fuse, where two branches of a network join: the later one adds the other to its result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.recording import Operators
from torch import Tensor, nn
from torch.nn import functional as F

import cnnkern


class Joined(nn.Module):
    """Convolutions, and a function of them and of the input."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.down = nn.Conv2d(4, 4, 1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.edge = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.up, self.pool = nn.ConvTranspose2d(4, 4, 3, padding=1), nn.MaxPool2d(2)
        self.function = function
        nn.init.uniform_(self.norm.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def in_place(m: Any, x: Tensor) -> Tensor:
    y = m.a(x)
    y += x
    return m.relu(y)


def bottleneck(m: Any, x: Tensor) -> Tensor:
    y = m.norm(m.b(m.relu(m.a(x))))
    return m.relu(y + m.down(x))


def changed_between(m: Any, x: Tensor) -> Tensor:
    x = x * 1
    y = m.a(x)
    F.relu(x, inplace=True)
    return y + x


def written_with_out(m: Any, x: Tensor) -> Tensor:
    x = x * 1
    y = m.a(x)
    torch.neg(x, out=x)
    return y + x


def of(summand: Callable[[Tensor], Any]) -> Callable[[Any, Tensor], Tensor]:
    def function(m: Any, x: Tensor) -> Tensor:
        residual = summand(x)
        return m.a(x) + residual

    return function


ADD, ADD_RELU = ["add fused"], ["add fused, relu fused"]
# What is done at each convolution, in the order of their calls; how many operators add.
FUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], list[str], int]] = {
    "first": (lambda m, x: m.a(x) + x, ADD, 1),
    "second": (lambda m, x: x + m.a(x), ADD, 1),
    "torch.add": (lambda m, x: torch.add(x, m.a(x)), ADD, 1),
    "method": (lambda m, x: m.a(x).add(x).relu(), ADD_RELU, 1),
    "method in place": (lambda m, x: m.a(x).add_(x), ["add_ fused"], 1),
    "+=": (in_place, ["add fused, ReLU relu fused"], 1),
    "behind a norm": (
        lambda m, x: F.relu(m.norm(m.a(x)) + x),
        ["BatchNorm2d norm folded, add fused, relu fused"],
        1,
    ),
    "the later one": (
        bottleneck,
        ["ReLU relu fused", "BatchNorm2d norm folded", "add fused, ReLU relu fused"],
        1,
    ),
    "one after the other": (
        lambda m, x: (lambda y: F.relu(m.b(y) + y))(F.relu(m.a(x) + x)),
        ADD_RELU * 2,
        2,
    ),
    "input and summand": (
        lambda m, x: (lambda y: m.b(y) + y)(m.a(x)),
        ["", "add fused"],
        1,
    ),
    "by keyword": (lambda m, x: m.a(input=x) + x, ADD, 1),
    # What only the call shows.
    "another shape": (of(lambda x: x[:, :1]), ADD, 0),
    "a larger shape": (of(lambda x: torch.stack([x, x])), ADD, 0),
    "another precision": (of(lambda x: x.float()), ADD, 0),
    "a number": (of(lambda x: x.size(0)), ADD, 0),
}
# What was done at the first convolution, and why not more.
REASONS: dict[str, tuple[Callable[[Any, Tensor], Tensor], str, str]] = {
    "a number": (lambda m, x: m.a(x) + 1, "", "add adds no other tensor"),
    "itself": (lambda m, x: (lambda y: y + y)(m.a(x)), "", "add adds no other tensor"),
    "scaled": (
        lambda m, x: torch.add(m.a(x), x, alpha=2),
        "",
        "add takes it in an unusual way",
    ),
    "into the other": (
        lambda m, x: (x * 1).add_(m.a(x)),
        "",
        "add_ takes it in an unusual way",
    ),
    "the earlier one": (
        lambda m, x: m.a(x) + m.down(x),
        "",
        "add adds down, which comes after the convolution",
    ),
    "twice": (
        lambda m, x: m.a(x) + x + (x * 2),
        "add fused",
        "add stands after an addition",
    ),
    "after a ReLU": (
        lambda m, x: F.relu(m.a(x)) + x,
        "relu fused",
        "add stands after a ReLU",
    ),
    "after a pool": (
        lambda m, x: m.pool(m.a(x)) + x[..., :4, :4],
        "MaxPool2d pool fused",
        "add stands after a pool",
    ),
    "a pool behind it": (
        lambda m, x: m.pool(F.relu(m.a(x) + x)),
        "add fused, relu fused",
        "MaxPool2d pool stands after an addition",
    ),
    "a norm behind it": (
        lambda m, x: m.norm(m.a(x) + x),
        "add fused",
        "BatchNorm2d norm stands after an addition",
    ),
    "another border": (
        lambda m, x: m.edge(x) + x,
        "",
        "add is not fused where padding_mode is 'reflect'",
    ),
    "transposed": (
        lambda m, x: m.up(x) + x,
        "",
        "add is fused after Conv1d, Conv2d and Conv3d only",
    ),
    "two users": (
        lambda m, x: (lambda y: (y + x) * y)(m.a(x)),
        "",
        "its result goes to 2 places, not only add",
    ),
    "changed in between": (
        changed_between,
        "",
        "add stands behind relu, which changes something in place",
    ),
    "written in between": (
        written_with_out,
        "",
        "add stands behind neg, which changes something in place",
    ),
}


def make(function: Callable[[Any, Tensor], Tensor]) -> tuple[nn.Module, Tensor]:
    return Joined(function).double().eval(), torch.randn(2, 4, 8, 8).double()


def assert_same(fused: nn.Module, model: nn.Module, x: Tensor) -> None:
    results = []
    for network in (fused, model):
        own = x.clone().requires_grad_()
        y = network(own)
        results.append((y, *torch.autograd.grad(y.square().sum(), own)))
    for got, expected in zip(*results, strict=True):
        assert got.dtype == expected.dtype
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", FUSED)
def test_adds_what_is_there_before(name: str) -> None:
    function, expected, added = FUSED[name]
    model, x = make(function)
    twin, fused = copy.deepcopy(model), cnnkern.fuse(model)
    done = [row.done for row in cnnkern.coverage(fused).fusions]
    assert done == expected
    with Operators() as recorded:
        fused(x)
    assert recorded.names.count("conv_add") == added
    assert_same(fused, twin, x)


@pytest.mark.parametrize("name", REASONS)
def test_says_why_it_does_not(name: str) -> None:
    function, done, reason = REASONS[name]
    model, x = make(function)
    twin, fused = copy.deepcopy(model), cnnkern.fuse(model)
    row = cnnkern.coverage(fused).fusions[0]
    assert (row.done, row.reason) == (done, reason)
    if name not in ("changed in between", "written in between"):  # no gradient through those
        assert_same(fused, twin, x)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), twin(x))


BEHIND: dict[str, tuple[Callable[[Any, Tensor], Tensor], str, str]] = {
    "an addition": (lambda m, y: y + m.ones, "", "add stands after an addition"),
    "a norm": (lambda m, y: m.norm(y), "", "BatchNorm2d norm stands after an addition"),
    "a pool": (lambda m, y: m.pool(y), "", "MaxPool2d pool stands after an addition"),
    "a ReLU": (lambda m, y: F.relu(y), "relu fused", ""),
}


@pytest.mark.parametrize("name", BEHIND)
def test_behind_a_layer_that_adds_already(name: str) -> None:
    after, done, reason = BEHIND[name]
    model, x = make(lambda m, x: after(m, m.a(x, residual=x)))
    model.a = cnnkern.convert(model.a)
    model.register_buffer("ones", torch.ones(2, 4, 8, 8).double())
    twin, fused = copy.deepcopy(model), cnnkern.fuse(model)
    row = cnnkern.coverage(fused).fusions[0]
    assert (row.done, row.reason) == (done, reason)
    assert_same(fused, twin, x)


def test_in_train_mode_an_addition_is_fused_and_trains() -> None:
    model, x = make(lambda m, x: F.relu(m.a(x) + x))
    model.train()
    twin, fused = copy.deepcopy(model), cnnkern.fuse(model)
    for network in (fused, twin):
        network(x).square().sum().backward()
    for own, other in zip(model.a.parameters(), twin.a.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-10, atol=1e-11)


def test_compiles_copies_and_fuses_again() -> None:
    model, x = make(bottleneck)
    fused = cnnkern.fuse(model)
    expected = fused(x)
    assert torch.equal(copy.deepcopy(fused)(x), expected)
    assert torch.equal(cnnkern.fuse(fused)(x), expected)
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
