# SPDX-License-Identifier: BSD-3-Clause
"""Convolution, ReLU and max pool in one operator: the numbers of both, less memory."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from support.peak import allocated
from support.recording import Operators, saved_tensors
from support.views import VIEWS

import cnnkern
from cnnkern import functional
from cnnkern.testing import check_close, check_equal, poisoned_allocations

# Input, weight, the convolution's arguments, the pool's.
CASES = {
    "MNIST": ((3, 1, 28, 28), (32, 1, 3, 3), {}, {"pool_size": 2}),
    "VGG": ((2, 3, 20, 22), (8, 3, 3, 3), {"padding": 1}, {"pool_size": 2}),
    "AlexNet, overlapping": (
        (2, 3, 47, 51),
        (16, 3, 11, 11),
        {"stride": 4},
        {"pool_size": 3, "pool_stride": 2},
    ),
    "ResNet's stem": (
        (2, 3, 32, 32),
        (8, 3, 7, 7),
        {"stride": 2, "padding": 3},
        {"pool_size": 3, "pool_stride": 2, "pool_padding": 1},
    ),
    "grouped, everything odd": (
        (3, 6, 13, 11),
        (9, 2, 3, 2),
        {"stride": (2, 1), "padding": ((0, 1), (2, 0)), "dilation": (1, 2), "groups": 3},
        {
            "pool_size": (2, 3),
            "pool_stride": (1, 2),
            "pool_padding": ((1, 0), (0, 1)),
            "pool_dilation": (2, 1),
            "ceil_mode": True,
        },
    ),
    "depthwise": ((3, 8, 9, 9), (8, 1, 3, 3), {"padding": 1, "groups": 8}, {"pool_size": 2}),
    "same, same": (
        (2, 4, 9, 10),
        (6, 4, 3, 3),
        {"padding": "same", "stride": 2},
        {"pool_size": 2, "pool_padding": "same"},
    ),
    "window above 256 taps": ((2, 2, 24, 20), (3, 2, 3, 3), {}, {"pool_size": (20, 14)}),
}
# Images that do not fit one block.
LARGE = {
    "many images": ((37, 3, 64, 60), (16, 3, 3, 3), {"padding": 1}, {"pool_size": 2}),
    "overlapping": (
        (23, 4, 70, 66),
        (16, 4, 5, 3),
        {},
        {"pool_size": 3, "pool_stride": 2, "pool_padding": 1},
    ),
    "depthwise": (
        (40, 24, 48, 48),
        (24, 1, 3, 3),
        {"padding": 1, "groups": 24},
        {"pool_size": 2},
    ),
}
FORMATS = [torch.contiguous_format, torch.channels_last]
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def integers(*size, dtype=torch.float32):
    return torch.randint(-3, 4, size).to(dtype)


def normals(*size, dtype=torch.float32):
    return torch.randn(size).to(dtype)


def draw(case, make=normals, dtype=torch.float32, fmt=torch.contiguous_format):
    x, w, *_ = case
    tensors = make(*x, dtype=dtype), make(*w, dtype=dtype), make(w[0], dtype=dtype)
    tensors = (tensors[0].contiguous(memory_format=fmt), *tensors[1:])
    return [t.requires_grad_() for t in tensors]


def fused(case, tensors, activation="relu"):
    return functional.conv_block2d(*tensors, **case[2], **case[3], activation=activation)


def pool_arguments(case):
    return {key.removeprefix("pool_") if key != "pool_size" else "kernel_size": value
            for key, value in case[3].items()}  # fmt: skip


def in_two(case, tensors, activation="relu"):
    y = functional.conv2d(*tensors, **case[2], activation=activation)
    return functional.max_pool2d(y, **pool_arguments(case))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", [None, "relu"])
@each_case
def test_result_has_the_bits_of_both_layers(case, activation, dtype, fmt, backend):
    tensors = [t.detach().to(backend.device) for t in draw(case, dtype=dtype, fmt=fmt)]
    with poisoned_allocations():
        y = fused(case, tensors, activation)
    expected = in_two(case, tensors, activation)
    assert torch.equal(y, expected)
    assert y.stride() == expected.stride()


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@each_case
def test_gradients_of_integers_are_exact(case, dtype, fmt, backend):
    tensors = [t.detach().to(backend.device).requires_grad_()
               for t in draw(case, integers, dtype, fmt)]  # fmt: skip
    y = fused(case, tensors)
    grad = torch.randint(-1, 2, y.shape).to(y)
    with poisoned_allocations():
        gradients = torch.autograd.grad(y, tensors, grad)
    doubles = [t.detach().cpu().double().requires_grad_() for t in tensors]
    expected = torch.autograd.grad(in_two(case, doubles), doubles, grad.cpu().double())
    for own, y64, name in zip(gradients, expected, ("input", "weight", "bias"), strict=True):
        check_equal(own.cpu(), y64, dtype, name=name)
    apart = torch.autograd.grad(in_two(case, tensors), tensors, grad)
    assert [t.stride() for t in gradients] == [t.stride() for t in apart]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", LARGE.values(), ids=list(LARGE))
def test_sums_over_blocks(case, dtype):
    tensors = draw(case, dtype=dtype)
    y = fused(case, tensors)
    assert torch.equal(y, in_two(case, tensors))
    grad = torch.randn_like(y)
    gradients = torch.autograd.grad(y, tensors, grad)
    doubles = [t.detach().double().requires_grad_() for t in tensors]

    # The winners as this type saw them, in double precision from there on.
    def derivatives(tensors, grad):
        x, w, b = tensors
        between = functional.conv2d(x, w, b, **case[2])
        _, indices = F.max_pool2d(
            functional.conv2d(*(t.detach().to(dtype) for t in doubles), **case[2]).relu(),
            **pool_arguments(case), return_indices=True,
        )  # fmt: skip
        picked = between.flatten(2).gather(2, indices.flatten(2)).view_as(grad)
        return torch.autograd.grad(picked, tensors, grad)

    masked = torch.where(y.detach() > 0, grad, 0)
    expected = derivatives(doubles, masked.double())
    magnitudes = derivatives([t.detach().abs().requires_grad_() for t in doubles],
                             masked.double().abs())  # fmt: skip
    theirs = [t.detach().requires_grad_() for t in tensors]
    torchs = torch.autograd.grad(
        F.max_pool2d(F.conv2d(*theirs, **case[2]).relu(), **pool_arguments(case)), theirs, grad
    )
    for own, y64, peer, sums in zip(gradients, expected, torchs, magnitudes, strict=True):
        check_close(own, y64, peer, sums, dtype)


def test_a_sum_over_blocks_of_16_bits_is_rounded_once():
    # 257 images of one gradient each: neither bfloat16 256 + 1 nor float16 2048 + 1 moves.
    for dtype, images in ((torch.bfloat16, 259), (torch.float16, 2051)):
        x = torch.ones(images, 1, 64, 64, dtype=dtype)
        w = torch.ones(16, 1, 1, 1, dtype=dtype, requires_grad=True)
        b = torch.zeros(16, dtype=dtype, requires_grad=True)
        y = functional.conv_block2d(x, w, b, pool_size=64)
        dw, db = torch.autograd.grad(y, (w, b), torch.ones_like(y))
        exact = torch.tensor(float(images)).to(dtype)
        assert (dw == exact).all()
        assert (db == exact).all()


@pytest.mark.parametrize("view", VIEWS)
def test_odd_views(view):
    case = CASES["grouped, everything odd"]
    x, w, b = (t.detach() for t in draw(case, integers))
    seen = VIEWS[view](x).requires_grad_(), VIEWS[view](w).requires_grad_(), b
    y = fused(case, seen)
    grad = VIEWS[view](integers(*y.shape))
    dense = seen[0].detach().clone().requires_grad_(), seen[1].detach().clone().requires_grad_(), b
    expected = in_two(case, dense)
    assert torch.equal(y, expected)
    for own, other in zip(
        torch.autograd.grad(y, seen[:2], grad),
        torch.autograd.grad(expected, dense[:2], grad),
        strict=True,
    ):
        assert torch.equal(own, other)


def test_same_bits_on_any_number_of_threads():
    case = LARGE["many images"]
    tensors = draw(case)

    def everything():
        y = fused(case, tensors)
        return y, *torch.autograd.grad(y, tensors, torch.ones_like(y))

    one, two = [], []
    for threads, into in ((1, one), (2, two)):
        torch.set_num_threads(threads)
        into += everything()
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)


def test_a_sample_has_the_same_bits_in_every_batch():
    case = LARGE["overlapping"]
    x, w, b = (t.detach() for t in draw(case))
    whole = fused(case, (x, w, b))
    for i in (0, 11, 22):
        assert torch.equal(whole[i : i + 1], fused(case, (x[i : i + 1], w, b)))


def test_unbatched_and_empty():
    case = CASES["VGG"]
    x, w, b = (t.detach() for t in draw(case))
    assert torch.equal(fused(case, (x[0], w, b)), fused(case, (x, w, b))[0])
    tensors = x[:0].requires_grad_(), w.requires_grad_(), b.requires_grad_()
    y = fused(case, tensors)
    assert y.shape == (0, 8, 10, 11)
    dx, dw, db = torch.autograd.grad(y.sum(), tensors)
    assert dx.shape == tensors[0].shape
    assert not dw.any()
    assert not db.any()


def test_nan_passes_as_through_both_layers():
    case = CASES["VGG"]
    tensors = draw(case)
    with torch.no_grad():
        tensors[0][0, 0, 5, 5] = float("nan")
    y, expected = fused(case, tensors), in_two(case, tensors)
    assert torch.equal(y.isnan(), expected.isnan())
    grad = torch.ones_like(y)
    for own, other in zip(torch.autograd.grad(y, tensors, grad),
                          torch.autograd.grad(expected, tensors, grad), strict=True):  # fmt: skip
        torch.testing.assert_close(own, other, equal_nan=True)


SUBSETS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 1, 1)]


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("needs", SUBSETS, ids=str)
def test_saves_and_runs_only_what_a_gradient_needs(needs, activation):
    case = CASES["VGG"]
    tensors = [t.detach().requires_grad_(bool(n)) for t, n in zip(draw(case), needs, strict=True)]
    with saved_tensors() as saved:
        y = fused(case, tensors, activation)
    kept = {t.data_ptr(): t for t in saved}
    expected = {tensors[0].data_ptr()} if needs[1] else set()
    expected |= {tensors[1].data_ptr()} if needs[0] else set()
    expected |= {y.data_ptr()} if activation else set()
    taps = [t for t in saved if t.dtype == torch.uint8]
    assert [t.shape for t in taps] == [y.shape]
    assert set(kept) - {taps[0].data_ptr()} == expected
    wanted = [t for t, n in zip(tensors, needs, strict=True) if n]
    grad = torch.randn_like(y)
    with Operators() as operators:
        gradients = torch.autograd.grad(y, wanted, grad)
    assert operators.names == ["conv_block_grad"]
    other = torch.autograd.grad(in_two(case, tensors, activation), wanted, grad)
    for a, b in zip(gradients, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_use_puts_an_algorithm_in_place_of_auto():
    case = CASES["VGG"]
    tensors = [t.detach() for t in draw(case)]
    with cnnkern.use(algorithm="im2col"), Operators() as operators:
        fused(case, tensors)
        functional.conv_block2d(*tensors, padding=1, pool_size=2, algorithm="direct")
    assert [args[-1] for _, args in operators.calls] == ["im2col", "direct"]


def test_compiled_autograd_traces_the_gradient():
    case = CASES["VGG"]
    tensors = draw(case)
    grad = torch.randn_like(fused(case, tensors))
    expected = torch.autograd.grad(fused(case, tensors), tensors, grad)

    def train():
        fused(case, tensors).backward(grad)

    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        train()
    torch._dynamo.reset()
    for tensor, eager in zip(tensors, expected, strict=True):
        assert torch.equal(tensor.grad, eager)


def test_memory_between_the_layers_is_one_block():
    images, channels, side = 24, 16, 96
    x = torch.randn(images, 3, side, side)
    w = torch.randn(channels, 3, 3, 3, requires_grad=True)
    between = images * channels * side * side * 4

    def train(network):
        return lambda: torch.autograd.grad(network().sum(), w)

    def ours():
        return functional.conv_block2d(x, w, padding=1, pool_size=2)

    def layers():
        y = functional.conv2d(x, w, padding=1, activation="relu")
        return functional.max_pool2d(y, 2)

    block, result = 4 << 20, between // 4
    most, _ = allocated(ours)
    assert result <= most <= result + result // 4 + block + 65536
    most, _ = allocated(train(ours))
    # The result and its gradient, taps, a block and its share of the gradient.
    assert most <= 2 * result + result // 4 + 2 * block + 65536
    apart, _ = allocated(train(layers))
    assert apart >= 2 * between
    assert most < 0.55 * apart
    _, kept = allocated(ours)
    assert kept <= result + result // 4 + 65536


ERRORS = [
    ({"stride": 0}, RuntimeError, "conv_block2d: expected stride >= 1"),
    ({"pool_size": 0}, RuntimeError, "conv_block2d pool: expected kernel_size >= 1"),
    ({"pool_padding": 2}, RuntimeError, "conv_block2d pool: expected padding of at most half"),
    ({"pool_size": 40}, RuntimeError, "conv_block2d pool: expected an output size >= 1"),
    ({"pool_size": 2.5}, TypeError, "conv_block2d: expected pool_size to be made of ints"),
    ({"pool_stride": "2"}, TypeError, "pool_stride"),
    ({"pool_size": (2, 2, 2)}, RuntimeError, "conv_block2d: expected pool_size of 1 or 2 values"),
    ({"ceil_mode": 1}, TypeError, "conv_block2d: expected ceil_mode to be a bool"),
    ({"activation": "gelu"}, ValueError, "conv_block2d: expected activation"),
    ({"algorithm": "fast"}, ValueError, "conv_block2d: expected algorithm"),
    ({"padding": "wide"}, RuntimeError, "conv_block2d: invalid padding string"),
    ({"groups": 2}, RuntimeError, "conv_block2d: expected input channels C"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), ERRORS, ids=lambda e: str(e)[:40])
def test_refuses(arguments, error, text):
    x, w = torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)
    with pytest.raises(error, match=text):
        functional.conv_block2d(x, w, **{"pool_size": 2, **arguments})


def test_refuses_tensors_that_do_not_fit():
    x, w = torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3)
    for bad in ((x.long(), w.long()), (x, w.double()), (x[0, 0], w), (x, w[:, :2]), (x, w, w[0])):
        with pytest.raises((RuntimeError, NotImplementedError), match="conv_block2d: "):
            functional.conv_block2d(*bad, pool_size=2)
    with pytest.raises(TypeError, match="conv_block2d: expected weight to be a Tensor"):
        functional.conv_block2d(x, None, pool_size=2)


def test_gradient_refuses_operands_that_do_not_fit():
    x, w = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, 1)
    lists = [1, 1], [0] * 4, [1, 1], 1, [2, 2], [2, 2], [0] * 4, [1, 1], False
    y, taps = torch.ops.cnnkern.conv_block(x, w, None, *lists, True, True, "auto")
    every = [True] * 3

    def gradient(grad=y, input=x, weight=w, output=y, argmax=taps):
        return torch.ops.cnnkern.conv_block_grad(
            grad, input, weight, output, argmax, x.shape, w.shape, *lists, every, "auto"
        )

    assert [t.shape for t in gradient()] == [x.shape, w.shape, (1,)]
    for bad, name in (
        ({"grad": y[..., :1]}, "grad_output"),
        ({"input": x[..., :1]}, "input"),
        ({"weight": w.expand(1, 1, 2, 2)}, "weight"),
        ({"output": x}, "output"),
        ({"argmax": taps.int()}, "argmax"),
        ({"argmax": taps[..., :1]}, "argmax"),
        ({"input": None}, "expected input for"),
        ({"weight": None}, "expected weight for"),
        ({"input": x.double()}, "input"),
    ):
        with pytest.raises(RuntimeError, match=name):
            gradient(**bad)


class TestConvBlock2d:
    def test_is_a_conv2d(self):
        torch.manual_seed(3)
        theirs = torch.nn.Conv2d(3, 8, 3, padding=1)
        torch.manual_seed(3)
        ours = cnnkern.nn.ConvBlock2d(3, 8, 3, padding=1)
        assert isinstance(ours, torch.nn.Conv2d)
        assert list(ours.state_dict()) == ["weight", "bias"]
        assert torch.equal(theirs.weight, ours.weight)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(2, 3, 10, 10)
        torch.testing.assert_close(ours(x), F.max_pool2d(theirs(x).relu(), 2))

    def test_repr_shows_the_pool(self):
        make = cnnkern.nn.ConvBlock2d
        start = "ConvBlock2d(3, 8, kernel_size=(3, 3), stride=(1, 1)"
        assert repr(make(3, 8, 3)) == start + ", pool_size=2)"
        assert repr(make(3, 8, 3, pool_size=3, pool_stride=2, pool_padding=1, ceil_mode=True)) == (
            start + ", pool_size=3, pool_stride=2, pool_padding=1, ceil_mode=True)"
        )
        assert repr(make(3, 8, 3, activation=None, algorithm="direct")) == (
            start + ", activation=None, algorithm=direct, pool_size=2)"
        )

    @pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
    def test_padding_modes(self, mode):
        layer = cnnkern.nn.ConvBlock2d(3, 4, 3, padding=(1, 2), padding_mode=mode, pool_size=3)
        plain = torch.nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode=mode)
        plain.load_state_dict(layer.state_dict())
        x = torch.randn(2, 3, 9, 9)
        torch.testing.assert_close(layer(x), F.max_pool2d(plain(x).relu(), 3))

    def test_copies_and_pickles(self):
        layer = cnnkern.nn.ConvBlock2d(1, 2, 3, pool_size=3, pool_stride=2, ceil_mode=True)
        x = torch.randn(1, 1, 12, 12)
        saved = io.BytesIO()
        torch.save(layer, saved)
        saved.seek(0)
        again = torch.load(saved, weights_only=False)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), again):
            assert repr(other) == repr(layer)
            assert torch.equal(other(x), layer(x))

    def test_refuses_at_once_what_it_cannot_run(self):
        with pytest.raises(ValueError, match="ConvBlock2d: expected activation"):
            cnnkern.nn.ConvBlock2d(1, 1, 1, activation="tanh")
        with pytest.raises(TypeError, match="ceil_mode"):
            cnnkern.nn.ConvBlock2d(1, 1, 1, ceil_mode=None)

    def test_autocast(self):
        layer, x = cnnkern.nn.ConvBlock2d(3, 8, 3), torch.randn(2, 3, 12, 12, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        low = layer.weight.detach().bfloat16(), layer.bias.detach().bfloat16()
        assert torch.equal(y, functional.conv_block2d(x.detach().bfloat16(), *low, pool_size=2))
        y.float().sum().backward()
        assert x.grad.dtype == layer.weight.grad.dtype == torch.float32

    def test_exports_as_one_node(self):
        network = torch.nn.Sequential(cnnkern.nn.ConvBlock2d(1, 4, 3)).eval()
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(
            network, (torch.rand(3, 1, 12, 12),), dynamic_shapes=({0: batch},)
        )
        calls = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
        assert [c for c in calls if "cnnkern" in c] == ["cnnkern.conv_block.default"]
        x = torch.rand(5, 1, 12, 12)
        assert torch.equal(program.module()(x), network(x))

    def test_compiled_training_runs_the_fused_gradient(self):
        network = torch.nn.Sequential(cnnkern.nn.ConvBlock2d(1, 4, 3), torch.nn.Flatten())
        x = torch.rand(3, 1, 12, 12)
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        expected = torch.autograd.grad(network(x).sum(), list(network.parameters()))
        y = compiled(x)
        with Operators() as operators:
            result = torch.autograd.grad(y.sum(), list(network.parameters()))
        assert operators.names == ["conv_block_grad"]
        for a, b in zip(result, expected, strict=True):
            assert torch.equal(a, b)
