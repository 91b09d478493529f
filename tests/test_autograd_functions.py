# SPDX-License-Identifier: BSD-3-Clause
"""cnnkern.autograd's Functions: values of the functional, gradients of every order, torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import cnnkern
from cnnkern.autograd import (
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    AvgPool,
    Conv,
    ConvTranspose,
    MaxPool,
    MaxUnpool,
)


def sample(*shape: int) -> Tensor:
    """Distinct values, far enough apart that no maximum changes under gradcheck's steps."""
    count = torch.Size(shape).numel()
    values = (torch.randperm(count).double() + 0.5) / count - 0.5
    return values.reshape(shape).requires_grad_()


# (stride, padding, dilation, groups, activation)
CONV: list[tuple[Any, ...]] = [
    (1, 0, 1, 1, None),
    (2, 1, 1, 2, None),
    (2, "same", 1, 1, "relu"),
    (1, "valid", 2, 2, "relu"),
]
# (stride, padding, output_padding, groups, dilation, activation)
TRANSPOSE: list[tuple[Any, ...]] = [
    (1, 0, 0, 1, 1, None),
    (2, 1, 1, 2, 1, None),
    (2, 1, 0, 1, 2, "relu"),
    (2, 1, 2, 1, 3, None),
    (2, 0, 2, 2, 3, "relu"),
]


def conv_inputs(rank: int, groups: int, transposed: bool) -> tuple[Tensor, Tensor, Tensor]:
    shape = (2, 4 // groups) if transposed else (4, 2 // groups)
    sizes = (2, 2, *(5,) * rank), (*shape, *(2,) * rank), (4,)
    x, w, b = (torch.randn(size).double().requires_grad_() for size in sizes)
    return x, w, b


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("case", CONV, ids=str)
def test_conv(rank: int, case: tuple[Any, ...]) -> None:
    stride, padding, dilation, groups, activation = case
    inputs = conv_inputs(rank, groups, transposed=False)
    functional = getattr(cnnkern.functional, f"conv{rank}d")

    def own(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y: Tensor = Conv.apply(x, w, b, stride, padding, dilation, groups, activation)
        return y

    expected = functional(*inputs, stride, padding, dilation, groups, activation=activation)
    assert torch.equal(own(*inputs), expected)
    assert gradcheck(own, inputs)
    if rank < 3:
        assert gradgradcheck(own, inputs)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("case", TRANSPOSE, ids=str)
def test_conv_transpose(rank: int, case: tuple[Any, ...]) -> None:
    inputs = conv_inputs(rank, case[3], transposed=True)
    functional = getattr(cnnkern.functional, f"conv_transpose{rank}d")

    def own(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y: Tensor = ConvTranspose.apply(x, w, b, *case)
        return y

    assert torch.equal(own(*inputs), functional(*inputs, *case[:5], activation=case[5]))
    if rank < 3:
        assert gradcheck(own, inputs)
        assert gradgradcheck(own, inputs)


POOLS: list[tuple[type[torch.autograd.Function], str, tuple[Any, ...]]] = [
    (MaxPool, "max_pool", (2,)),
    (MaxPool, "max_pool", (3, 2, 1, 1, True)),
    (MaxPool, "max_pool", (2, 1, 0, 2)),
    (MaxPool, "max_pool", (3, 2, "same")),
    (AvgPool, "avg_pool", (2,)),
    (AvgPool, "avg_pool", (3, 2, 1, True, False)),
    (AvgPool, "avg_pool", (3, 2, "same")),
    (AdaptiveMaxPool, "adaptive_max_pool", (3,)),
    (AdaptiveMaxPool, "adaptive_max_pool", (1,)),
    (AdaptiveAvgPool, "adaptive_avg_pool", (3,)),
    (AdaptiveAvgPool, "adaptive_avg_pool", (7,)),
]


def first(y: Any) -> Tensor:
    t: Tensor = y[0] if isinstance(y, tuple) else y
    return t


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("function", "name", "args"), POOLS, ids=str)
def test_pool(
    rank: int, function: type[torch.autograd.Function], name: str, args: tuple[Any, ...]
) -> None:
    x = sample(2, 2, *(5,) * rank)

    def own(x: Tensor) -> Tensor:
        return first(function.apply(x, *args))

    assert torch.equal(own(x), getattr(cnnkern.functional, f"{name}{rank}d")(x, *args))
    assert gradcheck(own, (x,))
    assert gradgradcheck(own, (x,))


def test_avg_pool_takes_a_divisor() -> None:
    x = sample(1, 2, 4, 4)
    y = AvgPool.apply(x, 2, None, 0, False, True, 3)
    assert torch.equal(y, cnnkern.functional.avg_pool2d(x, 2, divisor_override=3))


def test_max_pool_gives_window_local_bytes() -> None:
    x = sample(1, 1, 4, 4)
    y, taps = MaxPool.apply(x, 2)
    assert taps.dtype == torch.uint8
    assert not taps.requires_grad
    row, column = taps // 2, taps % 2
    rows = torch.arange(2).reshape(2, 1) * 2 + row
    columns = torch.arange(2) * 2 + column
    assert torch.equal(x[0, 0][rows[0, 0], columns[0, 0]], y[0, 0])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_unpool(rank: int) -> None:
    pool = getattr(cnnkern.functional, f"max_pool{rank}d")
    x, indices = pool(sample(2, 2, *(5,) * rank).detach(), 2, return_indices=True)
    window = (2, None, 0, [5] * rank)

    def own(x: Tensor) -> Tensor:
        y: Tensor = MaxUnpool.apply(x, indices, *window)
        return y

    functional = getattr(cnnkern.functional, f"max_unpool{rank}d")
    assert torch.equal(own(x), functional(x, indices, *window))
    assert gradcheck(own, (x.requires_grad_(),))
    assert gradgradcheck(own, (x,))
    x = x.detach()

    def cubes(x: Tensor, indices: Tensor) -> Tensor:
        return first(MaxUnpool.apply(x, indices, *window)).pow(3).sum()

    per_sample = torch.vmap(torch.func.grad(cubes))(x[:, None], indices[:, None])
    assert torch.equal(per_sample[:, 0], 3 * x.square())


def saved_tensors(y: Tensor) -> list[Any]:
    assert y.grad_fn is not None
    return list(y.grad_fn.saved_tensors)  # type: ignore[attr-defined]


def test_only_what_a_gradient_needs_is_kept_and_computed() -> None:
    x, w, b = conv_inputs(2, 1, transposed=False)
    fixed_x, fixed_w, fixed_b = x.detach(), w.detach(), b.detach()
    assert saved_tensors(Conv.apply(fixed_x, fixed_w, b)) == [None] * 3
    kept = saved_tensors(Conv.apply(x, fixed_w, fixed_b))
    assert [t is None for t in kept] == [True, False, True]
    kept = saved_tensors(Conv.apply(fixed_x, w, fixed_b))
    assert [t is None for t in kept] == [False, True, True]
    for inputs in ((x, fixed_w, fixed_b), (fixed_x, w, fixed_b), (fixed_x, fixed_w, b)):
        wanted = [t for t in inputs if t.requires_grad]
        got = torch.autograd.grad(Conv.apply(*inputs).sum(), wanted)
        expected = torch.autograd.grad(cnnkern.functional.conv2d(*inputs).sum(), wanted)
        torch.testing.assert_close(got, expected)
    assert saved_tensors(AvgPool.apply(x, 2)) == []


def own_conv(x: Tensor, w: Tensor) -> Tensor:
    return first(Conv.apply(x, w, None, 2, 1, 1, 2, "relu")).square().sum()


def torch_conv(x: Tensor, w: Tensor) -> Tensor:
    return torch.nn.functional.conv2d(x, w, None, 2, 1, 1, 2).relu().square().sum()


def own_chain(x: Tensor, w: Tensor) -> Tensor:
    y = first(ConvTranspose.apply(x, w, None, 2))
    return first(AvgPool.apply(first(MaxPool.apply(y, 2)), 2)).square().sum()


def torch_chain(x: Tensor, w: Tensor) -> Tensor:
    y = torch.nn.functional.conv_transpose2d(x, w, None, 2)
    y = torch.nn.functional.max_pool2d(y, 2)
    return torch.nn.functional.avg_pool2d(y, 2).square().sum()


@pytest.mark.parametrize(
    ("own", "reference", "channels"),
    [(own_conv, torch_conv, (4, 1)), (own_chain, torch_chain, (2, 3))],
)
class TestFunc:
    def test_grad_and_vmap(
        self,
        own: Callable[..., Tensor],
        reference: Callable[..., Tensor],
        channels: tuple[int, int],
    ) -> None:
        xs, ws = torch.randn(3, 2, 2, 5, 5).double(), torch.randn(3, *channels, 3, 3).double()
        for dims, args in (((0, 0), (xs, ws)), ((0, None), (xs, ws[0])), ((None, 0), (xs[0], ws))):
            got = torch.vmap(torch.func.grad(own, (0, 1)), dims)(*args)
            expected = torch.vmap(torch.func.grad(reference, (0, 1)), dims)(*args)
            torch.testing.assert_close(got, expected)

    def test_jacrev_of_grad(
        self,
        own: Callable[..., Tensor],
        reference: Callable[..., Tensor],
        channels: tuple[int, int],
    ) -> None:
        x, w = torch.randn(1, 2, 5, 5).double(), torch.randn(*channels, 2, 2).double()
        got = torch.func.jacrev(torch.func.grad(own))(x, w)
        torch.testing.assert_close(got, torch.func.jacrev(torch.func.grad(reference))(x, w))

    def test_compile(
        self,
        own: Callable[..., Tensor],
        reference: Callable[..., Tensor],
        channels: tuple[int, int],
    ) -> None:
        torch._dynamo.reset()
        x, w = torch.randn(2, 2, 5, 5).double(), torch.randn(*channels, 3, 3).double()
        x, w = x.requires_grad_(), w.requires_grad_()
        compiled = torch.compile(own, fullgraph=True, backend="aot_eager")
        got = torch.autograd.grad(compiled(x, w), (x, w))
        torch.testing.assert_close(got, torch.autograd.grad(reference(x, w), (x, w)))


def test_wrong_arguments_are_refused() -> None:
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    with pytest.raises(ValueError, match="Conv: expected activation"):
        Conv.apply(x, w, None, 1, 0, 1, 1, "tanh")
    with pytest.raises(TypeError, match="Conv: expected stride"):
        Conv.apply(x, w, None, 1.5)
    with pytest.raises(RuntimeError, match="ConvTranspose: expected input of 4 axes"):
        ConvTranspose.apply(x[0], w.transpose(0, 1))
    with pytest.raises(RuntimeError, match="AvgPool: expected divisor_override"):
        AvgPool.apply(x, 2, None, 0, False, True, 0)
    with pytest.raises(TypeError, match="MaxPool: expected ceil_mode"):
        MaxPool.apply(x, 2, None, 0, 1, 1)
    with pytest.raises(ValueError, match="MaxUnpool: expected output_size from 9 to 11"):
        MaxUnpool.apply(x, x.long(), 2, None, 0, [8, 8])
