# SPDX-License-Identifier: BSD-3-Clause
"""Max unpooling: torch's values and gradients, the last of equals, indices that name nothing."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.recording import Operators, saved_tensors
from support.views import VIEWS
from torch import Tensor

import cnnkern
from cnnkern import functional
from cnnkern.testing.devices import emulator

OPS: Any = torch.ops.cnnkern
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
# Of a pool: rank, input's shape, then its arguments. 35 and 40 channels are more than one task's.
POOLS: list[tuple[int, tuple[int, ...], dict[str, Any]]] = [
    (1, (2, 3, 9), {"kernel_size": 2}),
    (1, (2, 5, 19), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (2, (2, 3, 8, 8), {"kernel_size": 2}),
    (2, (3, 35, 7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (2, (1, 40, 6, 5), {"kernel_size": (3, 2), "stride": (1, 2)}),
    (3, (2, 3, 4, 5, 6), {"kernel_size": 2}),
    (3, (1, 33, 3, 5, 4), {"kernel_size": 3, "stride": 2, "padding": 1}),
]
FORMATS = {1: [torch.contiguous_format], 2: [torch.channels_last], 3: [torch.channels_last_3d]}


def integers(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randint(-60, 61, shape).to(dtype)


def pooled(
    rank: int, shape: tuple[int, ...], window: dict[str, Any], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    x = integers(*shape, dtype=dtype)
    values, indices = getattr(F, f"max_pool{rank}d")(x, **window, return_indices=True)
    return values, indices


def last_of_several(x: Tensor, indices: Tensor, plane: int) -> Tensor:
    """One position after the other, so that the order is known."""
    y = x.new_zeros(*x.shape[:2], plane)
    x, indices = x.flatten(2), indices.flatten(2)
    for j in range(x.shape[2]):
        y.scatter_(2, indices[..., j : j + 1], x[..., j : j + 1])
    return y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rank", "shape", "window"), POOLS, ids=str)
def test_gives_torchs_values_and_gradients(
    rank: int, shape: tuple[int, ...], window: dict[str, Any], dtype: torch.dtype, backend: Any
) -> None:
    values, indices = pooled(rank, shape, window, dtype)
    for memory in {torch.contiguous_format, *FORMATS[rank]}:
        x = values.to(backend.device).clone(memory_format=memory).requires_grad_()
        own = indices.to(backend.device).contiguous(memory_format=memory)
        theirs = values.clone().requires_grad_()
        y = getattr(functional, f"max_unpool{rank}d")(x, own, **window, output_size=shape)
        expected = getattr(F, f"max_unpool{rank}d")(theirs, indices, **window, output_size=shape)
        assert torch.equal(y.cpu(), expected)
        assert y.is_contiguous(memory_format=memory)
        grad = integers(*shape, dtype=dtype)
        y.backward(grad.to(backend.device).contiguous(memory_format=memory))
        expected.backward(grad)
        assert x.grad is not None
        assert torch.equal(x.grad.cpu(), theirs.grad)
        assert x.grad.is_contiguous(memory_format=memory)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("rank", [2, 3])
def test_the_last_of_several_wins(rank: int, channels_last: bool, backend: Any) -> None:
    size, out = (4, 6, 5)[3 - rank :], (3, 4, 3)[3 - rank :]
    plane = torch.Size(out).numel()
    memory = FORMATS[rank][0] if channels_last else torch.contiguous_format
    x = integers(2, 37, *size).contiguous(memory_format=memory)
    indices = torch.randint(0, plane, x.shape).contiguous(memory_format=memory)
    y = OPS.max_unpool(x.to(backend.device), indices.to(backend.device), out).cpu()
    assert torch.equal(y, last_of_several(x, indices, plane).view(y.shape))
    grad = integers(*y.shape)
    back = OPS.max_unpool_grad(grad.to(backend.device), indices.to(backend.device)).cpu()
    gathered = grad.flatten(2).gather(2, indices.flatten(2))
    assert torch.equal(back, gathered.view(x.shape))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.emulated
def test_claims_on_the_emulator(bits: int) -> None:
    # In every order of threads; in passes of one image with a workspace too small for more.
    simt = emulator()
    if simt is None:
        pytest.skip("the emulator is not built: run 'make emulator'")
    x, plane = integers(5, 6, 70), 11
    indices = torch.randint(0, plane, x.shape)
    expected = last_of_several(x, indices, plane)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simt.enable()
    simt.always_wide(bits == 64)
    usual = simt.unpool_bytes(2 * 6 * plane * bits // 8)
    try:
        for seed in range(3):
            simt.set_seed(seed)
            simt.reset_stats()
            assert torch.equal(OPS.max_unpool(x, indices, [plane]), expected)
            # Contiguous planes are images, two of six channels at once: 3 passes of 2 kernels.
            assert simt.stats()["launches"] == 6
        simt.set_memory(8)
        with pytest.raises(torch.OutOfMemoryError, match="max_unpool1d: no memory on cpu for the"):
            OPS.max_unpool(x, indices, [plane])
    finally:
        simt.set_memory(2**63 - 1)
        simt.unpool_bytes(usual)
        simt.always_wide(False)
        simt.set_seed(0)
        simt.disable()


@pytest.mark.parametrize("view", VIEWS)
def test_odd_views(view: str) -> None:
    x, grad = VIEWS[view](integers(2, 4, 3, 4)), VIEWS[view](integers(2, 4, 6, 8))
    indices = VIEWS["reversed order"](torch.randint(0, 48, x.shape))
    before = x.clone(), indices.clone(), grad.clone()
    y = OPS.max_unpool(x, indices, [6, 8])
    assert torch.equal(y, last_of_several(x, indices, 48).view(2, 4, 6, 8))
    back = OPS.max_unpool_grad(grad, indices)
    assert torch.equal(back.flatten(2), grad.flatten(2).gather(2, indices.flatten(2)))
    assert all(torch.equal(a, b) for a, b in zip(before, (x, indices, grad), strict=True))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_undoes_both_max_pools(rank: int) -> None:
    x = torch.randperm(2 * 3 * 7**rank).float().view(2, 3, *(7,) * rank)
    for module in (F, functional):
        values, indices = getattr(module, f"max_pool{rank}d")(x, 2, 2, return_indices=True)
        y = getattr(functional, f"max_unpool{rank}d")(values, indices, 2, output_size=x.shape)
        again = getattr(functional, f"max_pool{rank}d")(y, 2, 2)
        assert torch.equal(again, values)
        assert torch.equal(y[y != 0], x[y != 0])
        single = getattr(functional, f"max_unpool{rank}d")(
            values[0], indices[0], 2, output_size=x.shape[2:]
        )
        assert torch.equal(single, y[0])


def test_values_that_share_an_index_all_get_its_gradient() -> None:
    # As torch has it. What differentiates that gradient adds up.
    x = torch.arange(4.0).view(1, 1, 4).requires_grad_()
    indices = torch.tensor([[[1, 0, 1, 1]]])
    y = functional.max_unpool1d(x, indices, 1)
    assert y.tolist() == [[[1, 3, 0, 0]]]
    weight = torch.tensor([[[10.0, 20, 30, 40]]], requires_grad=True)
    (grad,) = torch.autograd.grad(y, x, weight, create_graph=True)
    assert grad.tolist() == [[[20, 10, 20, 20]]]
    (twice,) = torch.autograd.grad(grad, weight, torch.tensor([[[1.0, 2, 4, 8]]]))
    assert twice.tolist() == [[[2, 13, 0, 0]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_second_derivatives_of_16_bits_add_in_32(dtype: torch.dtype) -> None:
    count = 3000
    weight = torch.zeros(1, 1, count, dtype=dtype, requires_grad=True)
    gathered = OPS.max_unpool_grad(weight, torch.zeros(1, 1, count, dtype=torch.int64))
    (total,) = torch.autograd.grad(gathered, weight, torch.ones_like(gathered))
    assert total[0, 0, 0] == torch.tensor(count).to(dtype)


def test_same_bits_on_one_thread_and_two() -> None:
    x, indices = torch.randn(4, 64, 30, 30), torch.randint(0, 400, (4, 64, 30, 30))
    results = []
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        results.append(OPS.max_unpool(x, indices, [20, 20]))
    assert all(torch.equal(results[0], y) for y in results)


def test_keeps_the_indices_and_runs_one_operator_back() -> None:
    values, indices = F.max_pool2d(torch.randn(2, 3, 8, 8), 2, return_indices=True)
    with saved_tensors() as saved:
        y = functional.max_unpool2d(values.requires_grad_(), indices, 2)
    assert [t.data_ptr() for t in saved] == [indices.data_ptr()]
    with Operators() as operators:
        y.backward(torch.ones_like(y))
    assert operators.names == ["max_unpool_grad"]
    with saved_tensors() as saved:
        functional.max_unpool2d(values.detach(), indices, 2)
    assert saved == []


@pytest.mark.parametrize("bad", [-1, 16, 2**40, -(2**63)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_an_index_that_names_nothing(bad: int, channels_last: bool, backend: Any) -> None:
    x, indices = integers(1, 2, 2, 2) + 100, torch.tensor([0, 5, 10, 15]).view(1, 1, 2, 2)
    indices = indices.repeat(1, 2, 1, 1)
    indices[0, 1, 0, 1] = bad
    if channels_last:
        x, indices = (t.contiguous(memory_format=torch.channels_last) for t in (x, indices))
    on = [t.to(backend.device) for t in (x, indices)]
    if backend.name == "cpu":
        text = rf"max_unpool2d: expected indices from 0 to 15, .*\[4, 4\], got {bad}$"
        for module, error in ((F, "invalid max index"), (functional, text)):
            with pytest.raises(RuntimeError, match=error):
                module.max_unpool2d(*on, 2)
        with pytest.raises(RuntimeError, match=text):
            OPS.max_unpool_grad(torch.zeros(1, 2, 4, 4), indices)
        return
    # Nothing waits for a GPU to hear of it: it is passed over.
    y = functional.max_unpool2d(on[0].requires_grad_(), on[1], 2)
    known = (indices >= 0) & (indices < 16)
    expected = last_of_several(x * known, indices * known, 16).view(1, 2, 4, 4)
    expected[0, :, 0, 0] = x[0, :, 0, 0]
    assert torch.equal(y.detach().cpu(), expected)
    (grad,) = torch.autograd.grad(y.sum(), on[0])
    assert torch.equal(grad.cpu(), known.float())


SIZES: list[Any] = [None, [5, 5], (3, 3), [1, 2, 4, 5], torch.Size([2, 9, 5, 3])]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_output_size_is_torchs(size: Any) -> None:
    values, indices = torch.randn(1, 2, 2, 2), torch.tensor([0, 1, 3, 4]).repeat(1, 2, 1)
    args = (values, indices.view(1, 2, 2, 2), 2, None, 0, size)
    assert torch.equal(functional.max_unpool2d(*args), F.max_unpool2d(*args))


def test_pairs_of_padding_cut_each_side() -> None:
    x = torch.randn(1, 1, 6)
    pairs = ((0, 1),)
    values, indices = functional.max_pool1d(x, 3, 2, pairs, return_indices=True)
    y = functional.max_unpool1d(values, indices, 3, 2, pairs)
    assert y.shape == x.shape
    assert torch.equal(y[0, 0, indices[0, 0]], values[0, 0])


X, I = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4, dtype=torch.int64)
# torch's type, a piece of our text, arguments.
REFUSED: dict[str, tuple[type[Exception], str, tuple[Any, ...]]] = {
    "indices of 32 bits": (RuntimeError, "dtype int64, got int32", (X, I.int(), 2)),
    "indices of another shape": (
        RuntimeError,
        "(1, 2, 4, 4), got (1, 2, 4, 1)",
        (X, I[..., :1], 2),
    ),
    "two axes": (RuntimeError, "(N, C, H, W) or (C, H, W)", (X[0, 0], I[0, 0], 2)),
    "five axes": (RuntimeError, "(N, C, H, W) or (C, H, W)", (X[None], I[None], 2)),
    "integers": (NotImplementedError, "got int64", (X.long(), I, 2)),
    "complex numbers": (NotImplementedError, "got complex64", (X.cfloat(), I, 2)),
    "no channels": (RuntimeError, "but the batch to be >= 1", (X[:, :0], I[:, :0], 2)),
    "no rows": (RuntimeError, "but the batch to be >= 1", (X[:, :, :0], I[:, :, :0], 2)),
    "indices that are no tensor": (TypeError, "indices to be a Tensor, got list", (X, [0], 2)),
    "a kernel that is no int": (TypeError, "kernel_size to be made of ints", (X, I, "2")),
    "a stride that is no int": (TypeError, "stride to be made of ints", (X, I, 2, 1.5)),
    "a size too small": (ValueError, "from 7 to 9 on axis 1", (X, I, 2, None, 0, [8, 6])),
    "a size too large": (ValueError, "from 7 to 9 on axis 0", (X, I, 2, None, 0, [10, 8])),
    "sizes too few": (ValueError, "2 or 4 values, got 1", (X, I, 2, None, 0, [8])),
    "sizes too many": (ValueError, "2 or 4 values, got 3", (X, I, 2, None, 0, [1, 8, 8])),
    "a size of floats": (TypeError, "output_size to be made of", (X, I, 2, None, 0, [8.0, 8.0])),
    "one size": (TypeError, "output_size to be made of ints, got 8", (X, I, 2, None, 0, 8)),
    "a size below zero": (ValueError, "output_size >= 0", (X, I, 2, None, 9)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_torch_refuses(name: str) -> None:
    kind, text, args = REFUSED[name]
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        F.max_unpool2d(*args)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        functional.max_unpool2d(*args)
    assert theirs.type is ours.type is kind
    assert str(ours.value).startswith("max_unpool2d: expected")
    assert text in str(ours.value)


def test_refuses_more() -> None:
    with pytest.raises(TypeError, match="input to be a Tensor, got NoneType"):
        functional.max_unpool2d(None, I, 2)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="max_unpool3d: expected stride >= 1"):
        functional.max_unpool3d(X, I, 9, -1)
    with pytest.raises(RuntimeError, match="indices on the device of the other tensor, cpu"):
        functional.max_unpool2d(X, I.to("meta"), 2)
    with pytest.raises(RuntimeError, match=r"output of shape .* has more bytes than 64 bits count"):
        functional.max_unpool2d(X, I, 2**31, 2**31)
    with pytest.raises(RuntimeError, match=r"grad_output of shape \(1, 2, 4, 4\), got \(1, 3"):
        OPS.max_unpool_grad(torch.zeros(1, 3, 4, 4), I)


def test_empty_batches() -> None:
    x, indices = X[:0].clone().requires_grad_(), I[:0]
    y = functional.max_unpool2d(x, indices, 2)
    assert y.shape == F.max_unpool2d(x, indices, 2).shape == (0, 2, 8, 8)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layer_is_torchs(rank: int) -> None:
    name = f"MaxUnpool{rank}d"
    theirs, ours = (getattr(m, name)(3, 2, padding=1) for m in (torch.nn, cnnkern.nn))
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    x = torch.randn(2, 3, *(8,) * rank)
    values, indices = getattr(F, f"max_pool{rank}d")(x, 3, 2, 1, return_indices=True)
    for args in ((values, indices, x.shape), (values[0], indices[0], [8] * rank)):
        assert torch.equal(ours(*args), theirs(*args))
    assert torch.equal(
        ours(values, indices * 0),
        last_of_several(values, indices * 0, 7**rank).view(2, 3, *(7,) * rank),
    )
