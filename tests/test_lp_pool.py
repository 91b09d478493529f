# SPDX-License-Identifier: BSD-3-Clause
"""Power-average pooling: torch's values, its gradients (also where it has none), its refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.recording import saved_tensors
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import cnnkern
from cnnkern import functional
from cnnkern.testing import check_close

NORMS = [1, 2, 3, 2.5, 0.5, -1, -2.0, math.inf, -math.inf]
# kernel, stride, ceil_mode
WINDOWS: list[tuple[Any, ...]] = [(2,), (3, 2), (3, 2, True), (2, 3, True), (3, 1)]
FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d}


def pair(rank: int, *args: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Ours and torch's, of everything but the input."""
    name = f"lp_pool{rank}d"
    ours, theirs = getattr(functional, name), getattr(F, name)
    return (lambda x: ours(x, *args)), (lambda x: theirs(x, *args))


def positive(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) + 0.5


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_values_and_gradients_are_torchs(rank: int, norm: float, window: tuple[Any, ...]) -> None:
    ours, theirs = pair(rank, norm, *window)
    sizes = (7, 8, 6)[:rank]
    for mixed in (False, True):
        x = positive(2, 3, *sizes)
        if mixed:  # odd powers are negative, roots of sums below zero are NaN
            x = x * torch.randint(0, 2, x.shape).mul(2).sub(1)
        x = x.contiguous(memory_format=FORMATS[rank])
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        y, expected = ours(leaves[0]), theirs(leaves[1])
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=0, equal_nan=True)
        assert y.is_contiguous(memory_format=FORMATS[rank])
        grad = torch.randn_like(y)
        own, reference = (
            torch.autograd.grad(t, v, grad)[0] for t, v in zip((y, expected), leaves, strict=True)
        )
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-12, equal_nan=True)
        torch.testing.assert_close(ours(x[0]), y[0], rtol=1e-14, atol=0, equal_nan=True)


@pytest.mark.parametrize("norm", [2, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("window", WINDOWS[:3], ids=str)
def test_error_is_at_most_torchs(
    window: tuple[Any, ...], dtype: torch.dtype, norm: float, backend: Any
) -> None:
    ours, theirs = pair(2, norm, *window)
    x = (torch.rand(2, 3, 9, 8) + 0.5).to(dtype)
    y64 = theirs(x.double())
    check_close(
        ours(x.to(backend.device)).cpu(), y64, theirs(x), y64.abs(), dtype, name="lp_pool2d"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_pythagorean_windows_are_exact(dtype: torch.dtype, backend: Any) -> None:
    x = torch.tensor([[[3.0, 4, 0, 0, 5, 12, 8, -6]]], dtype=dtype).to(backend.device)
    assert functional.lp_pool1d(x, 2, 2).tolist() == [[[5, 0, 13, 10]]]
    assert functional.lp_pool1d(x, 1, 2).tolist() == [[[7, 0, 17, 2]]]
    assert functional.lp_pool1d(x, math.inf, 2).tolist() == [[[4, 0, 12, 8]]]
    assert functional.lp_pool1d(x, -math.inf, 2).tolist() == [[[3, 0, 5, 6]]]


@pytest.mark.parametrize("norm", [1, 2, 3, 1.5])
def test_gradient_is_zero_where_a_sum_is(norm: float) -> None:
    # The root has no derivative at 0; torch's gradient is 0 there, also of windows that cancel.
    zeros = torch.zeros(1, 1, 4, dtype=torch.float64)
    cancels = torch.tensor([[[2.0, -2, 3, 1]]], dtype=torch.float64)
    ours, theirs = pair(1, norm, 2)
    for x in (zeros, cancels) if norm in (1, 3) else (zeros,):
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        for leaf, f in zip(leaves, (ours, theirs), strict=True):
            f(leaf).sum().backward()
        own, reference = (leaf.grad for leaf in leaves)
        assert own is not None
        assert own[0, 0, :2].tolist() == [0, 0]
        torch.testing.assert_close(own, reference, rtol=1e-12, atol=0)


def test_nan_and_infinity_are_torchs() -> None:
    x = torch.tensor([[[math.nan, 1, math.inf, 1, -math.inf, 1, -1, -8, 0, -0.0]]])
    for norm in (1, 2, 3, 0.5, -1, math.inf, -math.inf, math.nan):
        ours, theirs = pair(1, norm, 2)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize(("rank", "norm"), [(1, 3), (2, 2), (2, 2.5), (3, 2)])
def test_derivatives_of_every_kind(rank: int, norm: float) -> None:
    ours, _ = pair(rank, norm, 2, 1, True)
    x = positive(1, 2, *(3,) * rank).requires_grad_()
    assert gradcheck(ours, (x,), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(ours, (x,))


def test_vmap_and_func() -> None:
    ours, theirs = pair(2, 2, 2)
    x = positive(4, 2, 3, 6, 6)

    def per_sample(f: Callable[[Tensor], Tensor]) -> Tensor:
        gradients: Tensor = torch.vmap(torch.func.grad(lambda t: f(t).pow(3).sum()))(x)
        return gradients

    torch.testing.assert_close(per_sample(ours), per_sample(theirs))
    torch.testing.assert_close(torch.func.jacfwd(ours)(x[0]), torch.func.jacrev(theirs)(x[0]))


def test_keeps_less_than_torch() -> None:
    ours, theirs = pair(2, 2, 2)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    sizes = []
    for f in (ours, theirs):
        with saved_tensors() as saved:
            f(x)
        sizes.append(sum(t.nbytes for t in {t.data_ptr(): t for t in saved}.values()))
    assert sizes[0] <= 0.7 * sizes[1]


X = torch.ones(1, 2, 6, 6)
# torch's type, a piece of our text, arguments.
REFUSED: dict[str, tuple[type[Exception], str, tuple[Any, ...]]] = {
    "norm 0": (ZeroDivisionError, "norm_type other than 0", (X, 0, 2)),
    "norm 0.0": (ZeroDivisionError, "norm_type other than 0", (X, 0.0, 2)),
    "a norm that is a text": (TypeError, "norm_type to be a number, got '2'", (X, "2", 2)),
    "no norm": (TypeError, "norm_type to be a number, got None", (X, None, 2)),
    "a window too large": (RuntimeError, "output size >= 1", (X, 2, 7)),
    "a window of floats": (TypeError, "kernel_size to be made of ints", (X, 2, 2.5)),
    "a step of 0": (RuntimeError, "stride >= 1", (X, 2, 2, 0)),
    "ceil_mode that is no bool": (TypeError, "ceil_mode to be a bool", (X, 2, 2, None, 1)),
    "complex numbers": (NotImplementedError, "got complex64", (X.cfloat(), 2, 2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_torch_refuses(name: str) -> None:
    kind, text, args = REFUSED[name]
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        F.lp_pool2d(*args)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        functional.lp_pool2d(*args)
    assert theirs.type is ours.type is kind
    assert text in str(ours.value)


def test_refuses_what_is_no_tensor_and_other_ranks() -> None:
    with pytest.raises(TypeError, match="lp_pool2d: expected input to be a Tensor"):
        functional.lp_pool2d([1.0], 2, 2)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="lp_pool1d: expected input of shape"):
        functional.lp_pool1d(X, 2, 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"ceil_mode": True, "stride": 2}], ids=str)
def test_layer_is_torchs(rank: int, options: dict[str, Any]) -> None:
    name = f"LPPool{rank}d"
    theirs, ours = (getattr(m, name)(2, 3, **options) for m in (torch.nn, cnnkern.nn))
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    x = torch.randn(2, 3, *(8,) * rank)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x[0]), theirs(x[0]))
