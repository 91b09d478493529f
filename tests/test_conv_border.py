# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions with a border made of the input: as torch pads and convolves, without the pad."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.peak import allocated
from support.recording import Operators, saved_tensors
from support.views import VIEWS

import cnnkern
from cnnkern import functional
from cnnkern.testing import check_close, check_equal, poisoned_allocations

MODES = ["reflect", "replicate", "circular"]
# Input, weight, arguments; padding as (before, after) pairs.
CASES = {
    "1-D": ((2, 4, 11), (6, 4, 5), {"padding": ((3, 2),), "dilation": 2}),
    "2-D": ((3, 3, 9, 12), (8, 3, 3, 3), {"padding": ((1, 1), (1, 1))}),
    "2-D, odd": (
        (2, 6, 7, 8),
        (9, 2, 3, 4),
        {"padding": ((0, 4), (5, 1)), "stride": (2, 1), "dilation": (1, 2), "groups": 3},
    ),
    "wider than the kernel": ((2, 3, 6, 6), (4, 3, 1, 2), {"padding": ((5, 5), (4, 5))}),
    "strided, large": ((2, 16, 30, 28), (24, 16, 7, 7), {"padding": ((3, 3), (3, 3)), "stride": 2}),
    "depthwise": ((3, 16, 10, 9), (16, 1, 3, 3), {"padding": ((1, 1), (2, 0)), "groups": 16}),
    "depthwise, multiplier": ((2, 5, 8, 9), (10, 1, 5, 3), {"padding": ((2, 2), (1, 1)),
                                                           "groups": 5}),
    "3-D": ((2, 3, 4, 5, 6), (4, 3, 3, 2, 3), {"padding": ((2, 1), (0, 1), (1, 2)),
                                               "stride": (1, 2, 1)}),
}  # fmt: skip
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
each_mode = pytest.mark.parametrize("mode", MODES)
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def integers(*size, dtype=torch.float64):
    return torch.randint(-3, 4, size).to(dtype)


def normals(*size, dtype=torch.float64):
    return torch.randn(size, dtype=torch.float64).to(dtype)


def draw(case, make, dtype, channels_last=False, device="cpu"):
    x, w, _ = case
    tensors = [make(*size, dtype=dtype).to(device) for size in (x, w, w[:1])]
    if channels_last and len(x) > 3:
        fmt = (torch.channels_last, torch.channels_last_3d)[len(x) - 4]
        tensors[0] = tensors[0].contiguous(memory_format=fmt)
    return [t.requires_grad_() for t in tensors]


def ours(case, tensors, mode, **extra):
    rank = len(case[0]) - 2
    function = getattr(functional, f"conv{rank}d")
    return function(*tensors, **case[2], padding_mode=mode, **extra)


def torchs(case, tensors, mode):
    arguments = dict(case[2])
    pads = [side for pair in reversed(arguments.pop("padding")) for side in pair]
    x, w, b = tensors
    function = getattr(F, f"conv{len(case[0]) - 2}d")
    return function(F.pad(x, pads, mode=mode), w, b, **arguments)


def results(y, tensors, grad):
    return y, *torch.autograd.grad(y, tensors, grad)


NAMES = ("result", "input gradient", "weight gradient", "bias gradient")


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@each_mode
@each_case
def test_integers_are_exact(case, mode, dtype, channels_last, backend):
    tensors = draw(case, integers, dtype, channels_last, backend.device)
    with poisoned_allocations():
        y = ours(case, tensors, mode)
        grad = integers(*y.shape).to(y)
        own = results(y, tensors, grad)
    doubles = [t.detach().cpu().double().requires_grad_() for t in tensors]
    expected = results(torchs(case, doubles, mode), doubles, grad.cpu().double())
    for a, b, name in zip(own, expected, NAMES, strict=True):
        check_equal(a.cpu(), b, dtype, name=name)


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "depthwise"])
@each_mode
@each_case
def test_every_algorithm_is_exact(case, mode, algorithm):
    if algorithm == "depthwise" and case[2].get("groups", 1) != case[0][1]:
        with pytest.raises(RuntimeError, match="depthwise"):
            ours(case, draw(case, integers, torch.float32), mode, algorithm=algorithm)
        return
    tensors = draw(case, integers, torch.float32)
    y = ours(case, tensors, mode, algorithm=algorithm)
    grad = integers(*y.shape).to(y)
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    expected = results(torchs(case, doubles, mode), doubles, grad.double())
    for a, b, name in zip(results(y, tensors, grad), expected, NAMES, strict=True):
        check_equal(a, b, torch.float32, name=name)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@each_mode
@each_case
def test_accurate(case, mode, dtype):
    tensors = draw(case, normals, dtype)
    y = ours(case, tensors, mode)
    grad = torch.randn_like(y)
    own = results(y, tensors, grad)
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    expected = results(torchs(case, doubles, mode), doubles, grad.double())
    positive = [t.detach().double().abs().requires_grad_() for t in tensors]
    sums = results(torchs(case, positive, mode), positive, grad.double().abs())
    peers = [t.detach().requires_grad_() for t in tensors]
    theirs = results(torchs(case, peers, mode), peers, grad)
    for a, y64, peer, total, name in zip(own, expected, theirs, sums, NAMES, strict=True):
        check_close(a, y64, peer, total, dtype, name=name)


@each_mode
def test_blocks_of_images(mode, backend):
    # More images than a block of a padded input holds, on the CPU.
    shape = (130, 4, 48, 48) if backend.name == "cpu" else (3, 4, 12, 12)
    case = (shape, (8, 4, 3, 3), {"padding": ((1, 1), (1, 1))})
    tensors = draw(case, integers, torch.float32, device=backend.device)
    y = ours(case, tensors, mode)
    grad = integers(*y.shape).to(y)
    doubles = [t.detach().double().cpu().requires_grad_() for t in tensors]
    expected = results(torchs(case, doubles, mode), doubles, grad.double().cpu())
    for a, b, name in zip(results(y, tensors, grad), expected, NAMES, strict=True):
        check_equal(a.cpu(), b, torch.float32, name=name)


@pytest.mark.parametrize("view", VIEWS)
@each_mode
def test_odd_views(mode, view):
    case = CASES["2-D, odd"]
    x, w, b = (t.detach() for t in draw(case, integers, torch.float32))
    seen = [VIEWS[view](x).requires_grad_(), VIEWS[view](w).requires_grad_(), b.requires_grad_()]
    y = ours(case, seen, mode)
    grad = VIEWS[view](integers(*y.shape).to(y))
    doubles = [t.detach().double().requires_grad_() for t in seen]
    expected = results(torchs(case, doubles, mode), doubles, grad.double())
    for a, b64, name in zip(results(y, seen, grad), expected, NAMES, strict=True):
        check_equal(a, b64, torch.float32, name=name)


@each_mode
def test_zero_padding_and_relu_and_single_samples(mode):
    x, w = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    assert torch.equal(functional.conv2d(x, w, padding_mode=mode), functional.conv2d(x, w))
    y = functional.conv2d(x, w, padding="same", padding_mode=mode, activation="relu")
    padded = F.pad(x, (1, 1, 1, 1), mode=mode)
    torch.testing.assert_close(y, F.conv2d(padded, w).relu())
    single = functional.conv2d(x[0], w, padding="same", padding_mode=mode, activation="relu")
    assert torch.equal(single, y[0])
    empty = functional.conv2d(x[:0].requires_grad_(), w, padding=1, padding_mode=mode)
    assert empty.shape == (0, 4, 8, 8)
    empty.sum().backward()


@each_mode
def test_same_bits_on_any_number_of_threads_and_in_any_batch(mode):
    case = ((20, 6, 40, 40), (8, 6, 3, 3), {"padding": ((2, 1), (1, 2))})
    tensors = draw(case, normals, torch.float32)
    y = ours(case, tensors, mode)
    grad = torch.randn_like(y)
    first = results(y, tensors, grad)
    torch.set_num_threads(1)
    for a, b in zip(first, results(ours(case, tensors, mode), tensors, grad), strict=True):
        assert torch.equal(a, b)
    one = [tensors[0][7:8].detach().requires_grad_(), *tensors[1:]]
    alone = results(ours(case, one, mode), one, grad[7:8])
    assert torch.equal(alone[0], first[0][7:8])
    assert torch.equal(alone[1], first[1][7:8])


@each_mode
def test_no_padded_copy_is_made_or_kept(mode):
    x = torch.randn(64, 8, 48, 48, requires_grad=True)
    w = torch.randn(2, 8, 3, 3, requires_grad=True)
    padded, result, block = 64 * 8 * 64 * 64 * 4, 64 * 2 * 62 * 62 * 4, 4 << 20

    def forward():
        return functional.conv2d(x, w, padding=8, padding_mode=mode)

    with saved_tensors() as saved:
        forward()
    assert {t.data_ptr() for t in saved} == {x.data_ptr(), w.data_ptr()}
    most, kept = allocated(forward)
    assert most <= kept + 65536
    assert kept <= result + 65536
    most, _ = allocated(lambda: torch.autograd.grad(forward().sum(), (x, w)))
    # The result, the gradients, and a block of the padded input's gradient.
    assert most <= result + x.numel() * 4 + block + 65536 < result + x.numel() * 4 + padded
    plain = torch.nn.Conv2d(8, 2, 3, padding=8, padding_mode=mode)
    apart, _ = allocated(lambda: torch.autograd.grad(plain(x).sum(), (x, plain.weight)))
    assert most < 0.4 * apart


def test_runs_as_one_operator_each_way():
    x, w = torch.randn(2, 3, 6, 6, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    with Operators() as operators:
        functional.conv2d(x, w, padding=1, padding_mode="reflect").sum().backward()
    assert operators.names == ["conv_border", "conv_border_input_grad", "conv_border_weight_grad"]


@pytest.mark.parametrize(
    ("mode", "padding", "text"),
    [
        (
            "reflect",
            6,
            r"padding < input size where padding_mode is 'reflect', got .*6.* on axis H",
        ),
        ("circular", 7, r"padding <= input size where padding_mode is 'circular'"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_refuses_what_torch_refuses(mode, padding, text, device):
    x, w = torch.ones(1, 1, 6, 9, device=device), torch.ones(1, 1, 1, 1, device=device)
    with pytest.raises(RuntimeError):
        F.pad(x, (0, 0, padding, padding), mode=mode)
    with pytest.raises(RuntimeError, match="conv2d: expected " + text):
        functional.conv2d(x, w, padding=(padding, 0), padding_mode=mode)
    assert functional.conv2d(x, w, padding=(padding - 1, 0), padding_mode=mode).shape[-1] == 9


def test_refuses_unknown_modes():
    x, w = torch.ones(1, 1, 6, 6), torch.ones(1, 1, 3, 3)
    for mode in ("mirror", None, 1):
        with pytest.raises(ValueError, match="conv2d: expected padding_mode to be one of 'zeros'"):
            functional.conv2d(x, w, padding=1, padding_mode=mode)
    with pytest.raises(ValueError, match="expected padding_mode to be 'zeros'"):
        torch.ops.cnnkern.conv_border(x, w, None, [1, 1], [1] * 4, [1, 1], 1, False, "up", "auto")


@each_mode
def test_layers_train_compiled_and_in_lower_precision(mode):
    layer = cnnkern.nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode)
    x = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    parameters = list(layer.parameters())
    expected = torch.autograd.grad(layer(x).square().sum(), parameters)
    for a, b in zip(torch.autograd.grad(compiled(x).square().sum(), parameters), expected,
                    strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    torch._dynamo.reset()
