# SPDX-License-Identifier: BSD-3-Clause
"""Each operator's vmap rule against a loop, for every pattern of batch axes, groups included."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnkern
from cnnkern.vmap import RULES

OPS: Any = torch.ops.cnnkern
BATCH = 3


def integers(*shape: int) -> Tensor:
    return torch.randint(-3, 4, shape).double()


def batched(shape: tuple[int, ...], dim: int | None) -> Tensor:
    if dim is None:
        return integers(*shape)
    return integers(BATCH, *shape).movedim(0, dim)


def pick(t: Tensor | None, dim: int | None, i: int) -> Tensor | None:
    return t if t is None or dim is None else t.select(dim, i)


def flat(y: Any) -> list[Tensor]:
    return list(y) if isinstance(y, tuple) else [y]


def check(op: Any, tensors: list[Any], dims: tuple[int | None, ...], *rest: Any) -> None:
    """One vmapped call gives what a loop over the batch gives, without torch's slow fallback."""

    def run(*ts: Any) -> Any:
        return op(*ts, *rest)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = flat(torch.vmap(run, dims)(*tensors))
    samples = [
        flat(run(*(pick(t, d, i) for t, d in zip(tensors, dims, strict=True))))
        for i in range(BATCH)
    ]
    for k, values in enumerate(got):
        expected = torch.stack([s[k] for s in samples])
        assert values.dtype == expected.dtype
        assert torch.equal(values, expected)


def patterns(count: int, last: int) -> list[tuple[int | None, ...]]:
    """Every choice of: no batch axis, the first, the last; at least one tensor has one."""
    every = itertools.product((None, 0, last), repeat=count)
    return [p for p in every if any(d is not None for d in p)]


GEOMETRY = [
    # rank, groups, stride, padding, dilation
    (1, 1, (2,), (1, 0), (1,)),
    (1, 2, (1,), (1, 2), (2,)),
    (2, 1, (1, 2), (0, 1, 1, 1), (1, 1)),
    (2, 2, (2, 1), (1, 1, 0, 2), (1, 2)),
    (2, 4, (1, 1), (1, 1, 1, 1), (1, 1)),
    (3, 2, (1, 2, 1), (1, 0, 0, 1, 1, 1), (1, 1, 1)),
]


def conv_shapes(case: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    rank, groups, stride, padding, dilation = case
    x, w = (2, 4, *(5,) * rank), (8, 4 // groups, *(2,) * rank)
    y = OPS.conv(integers(*x), integers(*w), None, stride, padding, dilation, groups, False, "auto")
    return x, w, tuple(y.shape)


@pytest.mark.parametrize("case", GEOMETRY, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_conv(case: Any, relu: bool) -> None:
    rank, groups, stride, padding, dilation = case
    x, w, _ = conv_shapes(case)
    for dims in patterns(2, rank + 2):
        rest = (stride, padding, dilation, groups, relu, "auto")
        tensors = [batched(x, dims[0]), batched(w, dims[1])]
        for bias_dim in (None, 0, 1):
            with_bias = [*tensors, batched((8,), bias_dim)]
            check(OPS.conv, with_bias, (*dims, bias_dim), *rest)
        check(OPS.conv, [*tensors, None], (*dims, None), *rest)
    both = [integers(*x), integers(*w), batched((8,), 1)]
    check(OPS.conv, both, (None, None, 1), stride, padding, dilation, groups, relu, "auto")


@pytest.mark.parametrize("case", GEOMETRY[::2], ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_conv_add(case: Any, relu: bool) -> None:
    rank, groups, stride, padding, dilation = case
    x, w, y = conv_shapes(case)
    rest = (stride, padding, dilation, groups, relu, "auto")
    for dims in patterns(3, rank + 2):
        tensors = [batched(shape, dim) for shape, dim in zip((x, w, y), dims, strict=True)]
        for bias_dim in (None, 1):
            of = [*tensors[:2], batched((8,), bias_dim), tensors[2]]
            check(OPS.conv_add, of, (*dims[:2], bias_dim, dims[2]), *rest)
        of = [*tensors[:2], None, tensors[2]]
        check(OPS.conv_add, of, (*dims[:2], None, dims[2]), *rest)


@pytest.mark.parametrize("case", GEOMETRY, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_conv_input_grad(case: Any, relu: bool) -> None:
    rank, groups, stride, padding, dilation = case
    x, w, y = conv_shapes(case)
    for dims in patterns(2, rank + 2):
        tensors = [batched(y, dims[0]), batched(w, dims[1])]
        rest = (x, stride, padding, dilation, groups, relu, "auto")
        for bias_dim in (None, 1):
            with_bias = [*tensors, batched((4,), bias_dim)]
            check(OPS.conv_input_grad, with_bias, (*dims, bias_dim), *rest)
        check(OPS.conv_input_grad, [*tensors, None], (*dims, None), *rest)


@pytest.mark.parametrize("case", GEOMETRY, ids=str)
@pytest.mark.parametrize("bias_grad", [False, True])
def test_conv_weight_grad(case: Any, bias_grad: bool) -> None:
    rank, groups, stride, padding, dilation = case
    x, w, y = conv_shapes(case)
    for dims in patterns(2, rank + 2):
        tensors = [batched(y, dims[0]), batched(x, dims[1])]
        rest = (w, stride, padding, dilation, groups, bias_grad, "auto")
        check(OPS.conv_weight_grad, tensors, dims, *rest)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("case", GEOMETRY[::2], ids=str)
def test_conv_border(case: Any, mode: str) -> None:
    rank, groups, stride, padding, dilation = case
    x, w, y = conv_shapes(case)
    lists, how = (stride, padding, dilation, groups), (mode, "auto")
    for dims in patterns(2, rank + 2):
        forward = [batched(x, dims[0]), batched(w, dims[1])]
        check(OPS.conv_border, [*forward, batched((8,), 1)], (*dims, 1), *lists, True, *how)
        check(OPS.conv_border, [*forward, None], (*dims, None), *lists, False, *how)
        pair = [batched(y, dims[0]), batched(w, dims[1])]
        check(OPS.conv_border_input_grad, pair, dims, x, *lists, *how)
        pair = [batched(y, dims[0]), batched(x, dims[1])]
        check(OPS.conv_border_weight_grad, pair, dims, w, *lists, True, *how)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", GEOMETRY[1::2], ids=str)
def test_conv_block(case: Any, relu: bool) -> None:
    rank, groups, stride, padding, dilation = case
    x, w, _ = conv_shapes(case)
    ones = (1,) * rank
    lists = (stride, padding, dilation, groups, (2,) * rank, ones, (1, 0) * rank, ones, True)

    # Small integers: sums are exact in any order, and ties are won by the first.
    for dims in patterns(3, rank + 2):
        bias_dim = None if dims[2] is None else min(dims[2], 1)
        tensors = [batched(x, dims[0]), batched(w, dims[1]), batched((8,), bias_dim)]
        for argmax in (False, True):
            check(OPS.conv_block, tensors, (*dims[:2], bias_dim), *lists, relu, argmax, "auto")

    y, taps = OPS.conv_block(integers(*x), integers(*w), None, *lists, relu, True, "auto")
    shape = tuple(y.shape)
    for dims in patterns(5, 0):
        grad, output = batched(shape, dims[0]), batched(shape, dims[1]) if relu else None
        argmax = taps if dims[2] is None else torch.stack([taps] * BATCH)
        of = [grad, batched(x, dims[3]), batched(w, dims[4]), output, argmax]
        in_dims = (dims[0], dims[3], dims[4], dims[1] if relu else None, dims[2])
        if all(d is None for d in in_dims):
            continue
        for wanted in ([True] * 3, [True, False, True], [False, True, False]):
            check(OPS.conv_block_grad, of, in_dims, x, w, *lists, wanted, "auto")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_pool(rank: int) -> None:
    shape = (2, 3, *(5,) * rank)
    window = ((3,) * rank, (2,) * rank, (1, 0) * rank, (1,) * rank, True)
    values, argmax = OPS.max_pool(integers(*shape), *window, True, ())
    for dim in (0, rank + 2):
        for argument in (False, True):
            check(OPS.max_pool, [batched(shape, dim)], (dim,), *window, argument, ())
    xs = torch.rand(BATCH, *shape).double()
    taps = torch.stack([OPS.max_pool(x, *window, True, ())[1] for x in xs])
    for g_dim, a_dim in patterns(2, rank + 2):
        a = argmax if a_dim is None else taps.movedim(0, a_dim)
        grad = batched(tuple(values.shape), g_dim)
        check(OPS.max_pool_grad, [grad, a], (g_dim, a_dim), shape, *window, ())
        check(OPS.max_pool_gather, [batched(shape, g_dim), a], (g_dim, a_dim), *window, ())
    check(OPS.max_pool_indices, [taps], (0,), shape, *window, ())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_avg_pool(rank: int) -> None:
    shape = (2, 3, *(5,) * rank)
    window = ((2,) * rank, (2,) * rank, (1, 0) * rank, True, True, 0, ())
    output = tuple(OPS.avg_pool(integers(*shape), *window).shape)
    for dim in (0, rank + 2):
        check(OPS.avg_pool, [batched(shape, dim)], (dim,), *window)
        check(OPS.avg_pool_grad, [batched(output, dim)], (dim,), shape, *window)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_unpool(rank: int) -> None:
    small, large = (2, 3, *(3,) * rank), (2, 3, *(5,) * rank)
    indices = torch.randint(0, 5**rank, (BATCH, *small))
    for t_dim, i_dim in patterns(2, rank + 2):
        i = indices[0] if i_dim is None else indices.movedim(0, i_dim)
        dims = (t_dim, i_dim)
        check(OPS.max_unpool, [batched(small, t_dim), i], dims, large[2:])
        check(OPS.max_unpool_grad, [batched(large, t_dim), i], dims)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_adaptive_pools(rank: int) -> None:
    shape, size = (2, 3, *(5,) * rank), (3,) * rank
    lists: Any = ((), (), (), (), False)
    values, argmax = OPS.max_pool(integers(*shape), *lists, True, size)
    average = ((), (), (), False, True, 0, size)
    for dim in (0, rank + 2):
        for argument in (False, True):
            check(OPS.max_pool, [batched(shape, dim)], (dim,), *lists, argument, size)
        check(OPS.avg_pool, [batched(shape, dim)], (dim,), *average)
        check(OPS.avg_pool_grad, [batched(tuple(values.shape), dim)], (dim,), shape, *average)
    xs = torch.rand(BATCH, *shape).double()
    taps = torch.stack([OPS.max_pool(x, *lists, True, size)[1] for x in xs])
    for g_dim, a_dim in patterns(2, rank + 2):
        a = argmax if a_dim is None else taps.movedim(0, a_dim)
        grad = batched(tuple(values.shape), g_dim)
        check(OPS.max_pool_grad, [grad, a], (g_dim, a_dim), shape, *lists, size)
        check(OPS.max_pool_gather, [batched(shape, g_dim), a], (g_dim, a_dim), *lists, size)
    check(OPS.max_pool_indices, [taps], (0,), shape, *lists, size)


def test_nested_vmap() -> None:
    x, w = integers(2, 3, 2, 4, 5, 5), integers(2, 4, 2, 3, 3)
    got = torch.vmap(
        torch.vmap(
            lambda a, b: OPS.conv(a, b, None, (1, 1), (0,) * 4, (1, 1), 2, False, "auto"), (0, None)
        )
    )(x, w)
    for i, j in itertools.product(range(2), range(3)):
        assert torch.equal(got[i, j], torch.nn.functional.conv2d(x[i, j], w[i], groups=2))


def test_every_operator_has_a_rule() -> None:
    names = {
        n.split("::")[1].split(".")[0]
        for n in torch._C._dispatch_get_all_op_names()
        if n.startswith("cnnkern::")
    }
    assert set(RULES) == names
    assert cnnkern.functional.__all__
