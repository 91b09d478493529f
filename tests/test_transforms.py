# SPDX-License-Identifier: BSD-3-Clause
"""Every operator under torch's transforms: derivatives of any kind and order, vmap, opcheck."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from support.operators import OPS, Sample, all_arguments, samples
from torch.autograd import gradcheck, gradgradcheck

from cnnkern import functional

SAMPLES = samples()
each_operator = pytest.mark.parametrize("sample", SAMPLES.values(), ids=list(SAMPLES))


def test_samples_reach_every_operator():
    names = {str(op) for op in torch._C._dispatch_get_all_op_names() if op.startswith("cnnkern::")}
    reached = {f"cnnkern::{sample.op}" for sample in SAMPLES.values()}
    assert names - reached == {"cnnkern::max_pool_indices"}  # integers: nothing to differentiate


@each_operator
def test_gradcheck(sample: Sample):
    assert gradcheck(
        sample.function,
        sample.leaves(),
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )


@each_operator
def test_gradgradcheck(sample: Sample):
    assert gradgradcheck(
        sample.function, sample.leaves(), check_fwd_over_rev=True, check_rev_over_rev=True
    )


@each_operator
def test_every_subset_of_leaves(sample: Sample):
    whole = sample.leaves()
    outputs = sample.function(*whole)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    total = sum((o * torch.arange(o.numel(), dtype=o.dtype).view(o.shape)).sum() for o in outputs)
    expected = torch.autograd.grad(total, whole, create_graph=True)
    for mask in range(1, 2 ** len(whole)):
        chosen = [bool(mask >> i & 1) for i in range(len(whole))]
        leaves = [t.detach().requires_grad_(c) for t, c in zip(whole, chosen, strict=True)]
        outputs = sample.function(*leaves)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [o for o in outputs if o.requires_grad]
        total = sum(
            (o * torch.arange(o.numel(), dtype=o.dtype).view(o.shape)).sum() for o in outputs
        )
        wanted = [t for t in leaves if t.requires_grad]
        gradients = torch.autograd.grad(total, wanted, allow_unused=True)
        kept = [e for e, c in zip(expected, chosen, strict=True) if c]
        for gradient, e in zip(gradients, kept, strict=True):
            torch.testing.assert_close(gradient, e.detach())


@pytest.mark.parametrize("needs_grad", [False, True], ids=["plain", "with gradients"])
@each_operator
def test_opcheck(sample: Sample, needs_grad: bool):
    op = getattr(OPS, sample.op).default
    torch.library.opcheck(op, all_arguments(sample, torch.float32, needs_grad))


@each_operator
def test_opcheck_in_16_bits(sample: Sample):
    # Schema and shapes alone: traced gradients are compared in float32 above.
    op, tests = getattr(OPS, sample.op).default, ("test_schema", "test_faketensor")
    arguments = all_arguments(sample, torch.bfloat16, False)
    torch.library.opcheck(op, arguments, test_utils=tests)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_opcheck_of_indices(rank: int):
    grad = SAMPLES[f"max_pool_grad, rank {rank}"]
    torch.library.opcheck(OPS.max_pool_indices.default, grad.rest)
    grad = SAMPLES[f"adaptive max_pool_grad, rank {rank}"]
    torch.library.opcheck(OPS.max_pool_indices.default, grad.rest)


CONV_ARGS = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
PAIRS = {
    "conv2d": (
        lambda x, w, b: functional.conv2d(x, w, b, **CONV_ARGS),
        lambda x, w, b: F.conv2d(x, w, b, **CONV_ARGS),
    ),
    "conv2d with ReLU": (
        lambda x, w, b: functional.conv2d(x, w, b, **CONV_ARGS, activation="relu"),
        lambda x, w, b: F.conv2d(x, w, b, **CONV_ARGS).relu(),
    ),
    "conv2d with a border": (
        lambda x, w, b: functional.conv2d(x, w, b, **CONV_ARGS, padding_mode="reflect"),
        lambda x, w, b: F.conv2d(
            F.pad(x, (0, 0, 1, 1), mode="reflect"), w, b, **(CONV_ARGS | {"padding": 0})
        ),
    ),
    "conv_block2d": (
        lambda x, w, b: functional.conv_block2d(
            x, w, b, **CONV_ARGS, pool_size=2, pool_stride=1, pool_padding=1
        ),
        lambda x, w, b: F.max_pool2d(F.conv2d(x, w, b, **CONV_ARGS).relu(), 2, 1, 1),
    ),
    "conv_transpose2d": (
        lambda x, w, b: functional.conv_transpose2d(
            x, w.transpose(0, 1).repeat(2, 1, 1, 1)[:4, :3], b, 2, 1, 1, 2
        ),
        lambda x, w, b: F.conv_transpose2d(
            x, w.transpose(0, 1).repeat(2, 1, 1, 1)[:4, :3], b, 2, 1, 1, 2
        ),
    ),
    "max_pool2d": (
        lambda x, w, b: functional.max_pool2d(x * w.sum() + b.sum(), 3, 2, 1, 1, True),
        lambda x, w, b: F.max_pool2d(x * w.sum() + b.sum(), 3, 2, 1, 1, True),
    ),
    "avg_pool2d": (
        lambda x, w, b: functional.avg_pool2d(x * w.sum() + b.sum(), 3, 2, 1, True, False),
        lambda x, w, b: F.avg_pool2d(x * w.sum() + b.sum(), 3, 2, 1, True, False),
    ),
    "adaptive_max_pool2d": (
        lambda x, w, b: functional.adaptive_max_pool2d(x * w.sum() + b.sum(), (2, 4)),
        lambda x, w, b: F.adaptive_max_pool2d(x * w.sum() + b.sum(), (2, 4)),
    ),
    "adaptive_avg_pool2d": (
        lambda x, w, b: functional.adaptive_avg_pool2d(x * w.sum() + b.sum(), (7, 4)),
        lambda x, w, b: F.adaptive_avg_pool2d(x * w.sum() + b.sum(), (7, 4)),
    ),
}
each_pair = pytest.mark.parametrize(("own", "theirs"), PAIRS.values(), ids=list(PAIRS))


@pytest.fixture
def operands():
    shapes = ((2, 4, 5, 6), (6, 2, 3, 2), (6,))
    return tuple(torch.randn(s, dtype=torch.float64) for s in shapes)


def same(first, second):
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("side", [0, 1, 2], ids=["input", "weight", "bias"])
@each_pair
def test_func_grad(own, theirs, operands, side):
    def gradient(f):
        return torch.func.grad(lambda *a: f(*a).pow(3).sum(), side)(*operands)

    same(gradient(own), gradient(theirs))


@pytest.mark.parametrize("make", [torch.func.jacrev, torch.func.jacfwd], ids=["jacrev", "jacfwd"])
@each_pair
def test_jacobians(own, theirs, operands, make):
    def jacobian(f):
        return make(lambda *a: f(*a).pow(2).sum(0), argnums=(0, 1, 2))(*operands)

    same(jacobian(own), jacobian(theirs))


@each_pair
def test_hessian(own, theirs, operands):
    def hessian(f):
        return torch.func.hessian(lambda *a: f(*a).pow(3).sum(), argnums=(1, 2))(*operands)

    same(hessian(own), hessian(theirs))


@each_pair
def test_jvp_and_vjp(own, theirs, operands):
    tangents = tuple(torch.randn_like(t) for t in operands)
    same(torch.func.jvp(own, operands, tangents), torch.func.jvp(theirs, operands, tangents))
    value, pull = torch.func.vjp(own, *operands)
    cotangent = torch.randn_like(value)
    same(pull(cotangent), torch.func.vjp(theirs, *operands)[1](cotangent))


@pytest.mark.parametrize(
    "dims", [(0, None, None), (None, 0, None), (0, 0, 0), (0, 3, None)], ids=str
)
@each_pair
def test_gradients_of_each_sample(own, theirs, operands, dims):
    batch = [
        t if d is None else torch.randn(*t.shape[:d], 3, *t.shape[d:], dtype=t.dtype)
        for t, d in zip(operands, dims, strict=True)
    ]

    def per_sample(f):
        gradient = torch.func.grad(lambda *a: f(*a).pow(3).sum(), (0, 1, 2))
        return torch.vmap(gradient, dims)(*batch)

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*performance drop.*")
        result = per_sample(own)
    same(result, per_sample(theirs))


def test_third_order():
    x, w = (
        torch.randn(1, 2, 4, 4, dtype=torch.float64),
        torch.randn(2, 2, 3, 3, dtype=torch.float64),
    )

    def third(f):
        leaves = [t.clone().requires_grad_() for t in (x, w)]
        value = f(*leaves).pow(3).sum()
        for _ in range(3):
            gradients = torch.autograd.grad(value, leaves, create_graph=True)
            value = sum(g.pow(2).sum() for g in gradients)
        return [g.detach() for g in gradients]

    for own, theirs in zip(third(functional.conv2d), third(F.conv2d), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-9, atol=1e-6)


def test_checkpointing_and_hooks_on_saved_tensors():
    x, w = torch.randn(2, 4, 6, 6, requires_grad=True), torch.randn(3, 4, 3, 3, requires_grad=True)

    def network(x, w):
        return functional.max_pool2d(functional.conv2d(x, w, activation="relu"), 2).sum()

    expected = torch.autograd.grad(network(x, w), (x, w))
    again = torch.utils.checkpoint.checkpoint(network, x, w, use_reentrant=False)
    for a, b in zip(torch.autograd.grad(again, (x, w)), expected, strict=True):
        assert torch.equal(a, b)
    with torch.autograd.graph.save_on_cpu():
        saved = network(x, w)
    for a, b in zip(torch.autograd.grad(saved, (x, w)), expected, strict=True):
        assert torch.equal(a, b)
