# SPDX-License-Identifier: BSD-3-Clause
"""The functions inside torch.compile, torch.export and autocast."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo.testing

from cnnkern import functional, nn

FUNCTIONS = {
    "conv1d": (lambda x, w: functional.conv1d(x, w, stride=2, padding=1), (2, 3, 9), (4, 3, 3)),
    "conv2d": (
        lambda x, w: functional.conv2d(x, w, None, 1, ((0, 1), (1, 0)), 1, 2, activation="relu"),
        (2, 4, 6, 7),
        (6, 2, 3, 3),
    ),
    "conv3d": (
        lambda x, w: functional.conv3d(x, w, padding="same"),
        (2, 2, 3, 4, 5),
        (3, 2, 2, 3, 2),
    ),
    "conv2d with a border": (
        lambda x, w: functional.conv2d(x, w, None, 2, ((0, 1), (1, 0)), padding_mode="circular"),
        (2, 3, 6, 7),
        (4, 3, 3, 3),
    ),
    "conv_block2d": (
        lambda x, w: functional.conv_block2d(
            x, w, None, 1, ((0, 1), (1, 0)), 1, 2, pool_size=2, pool_padding="same", ceil_mode=True
        ),
        (2, 4, 6, 7),
        (6, 2, 3, 3),
    ),
    "conv_transpose2d": (
        lambda x, w: functional.conv_transpose2d(x, w, None, 2, 1, 1),
        (2, 3, 4, 5),
        (3, 4, 3, 3),
    ),
    "max_pool2d": (
        lambda x, w: functional.max_pool2d(x * w, 3, 2, 1, ceil_mode=True),
        (2, 3, 7, 8),
        (1,),
    ),
    "max_pool2d with indices": (
        lambda x, w: functional.max_pool2d(x * w, 2, return_indices=True)[0],
        (2, 3, 7, 8),
        (1,),
    ),
    "adaptive_max_pool2d": (
        lambda x, w: functional.adaptive_max_pool2d(x * w, (3, 5)),
        (2, 3, 7, 8),
        (1,),
    ),
    "adaptive_max_pool2d with indices": (
        lambda x, w: functional.adaptive_max_pool2d(x * w, 3, return_indices=True)[0],
        (2, 3, 7, 8),
        (1,),
    ),
    "adaptive_avg_pool2d": (
        lambda x, w: functional.adaptive_avg_pool2d(x * w, (None, 5)),
        (2, 3, 7, 8),
        (1,),
    ),
    "avg_pool2d": (
        lambda x, w: functional.avg_pool2d(x * w, 2, padding="same"),
        (2, 3, 7, 8),
        (1,),
    ),
    "max_unpool2d": (
        lambda x, w: functional.max_unpool2d(
            *functional.max_pool2d(x * w, 3, 2, 1, return_indices=True), 3, 2, 1, x.shape
        ),
        (2, 3, 7, 8),
        (1,),
    ),
    "lp_pool2d": (lambda x, w: functional.lp_pool2d(x * w, 2, 3, 2), (2, 3, 7, 8), (1,)),
}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def _leaves(*shapes):
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


@pytest.mark.parametrize("dynamic", [None, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiles_into_one_graph(name, dynamic):
    function, *shapes = FUNCTIONS[name]
    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for batch in (2, 5):
        leaves = _leaves((batch, *shapes[0][1:]), shapes[1])
        expected, result = function(*leaves), compiled(*leaves)
        assert torch.equal(result, expected)
        grad = torch.randn_like(expected)
        for own, eager in zip(
            torch.autograd.grad(result, leaves, grad),
            torch.autograd.grad(expected, leaves, grad),
            strict=True,
        ):
            torch.testing.assert_close(own, eager, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dynamic_sizes_compile_once(name):
    function, *shapes = FUNCTIONS[name]
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=counter)
    for extra in (7, 10, 15):  # from sizes that no other happens to equal: those would be fused
        shape = (shapes[0][0] + extra, shapes[0][1], *(n + extra for n in shapes[0][2:]))
        x, w = _leaves(shape, shapes[1])
        assert torch.equal(compiled(x, w), function(x, w))
    assert counter.frame_count == 1


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            nn.Conv2d(1, 6, 5, activation="relu"),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding="same", stride=2),
            nn.AvgPool2d(2),
            nn.ConvTranspose2d(8, 3, 2, stride=2),
        )

    def forward(self, x):
        return self.layers(x)


def _assert_trains_the_same(compiled, network, x):
    parameters = list(network.parameters())
    expected = torch.autograd.grad(network(x).square().mean(), parameters)
    result = torch.autograd.grad(compiled(x).square().mean(), parameters)
    for own, eager in zip(result, expected, strict=True):
        torch.testing.assert_close(own, eager)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_network_by_inductor():
    network = Network()
    compiled = torch.compile(network, fullgraph=True)
    _assert_trains_the_same(compiled, network, torch.rand(2, 1, 20, 20))


def test_network_in_channels_last():
    network = Network().to(memory_format=torch.channels_last)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x = torch.rand(3, 1, 20, 20).contiguous(memory_format=torch.channels_last)
    _assert_trains_the_same(compiled, network, x)


def test_exports_with_a_dynamic_batch():
    network = Network().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        network, (torch.rand(2, 1, 20, 20),), dynamic_shapes=({0: batch},)
    )
    calls = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    ours = [call.split(".")[1] for call in calls if call.startswith("cnnkern")]
    assert ours == ["conv", "max_pool", "conv", "avg_pool", "conv_input_grad"]
    for count in (1, 7):
        x = torch.rand(count, 1, 20, 20)
        torch.testing.assert_close(program.module()(x), network(x), rtol=0, atol=0)


def test_fx_traces():
    network = Network()
    traced = torch.fx.symbolic_trace(network)
    x = torch.rand(2, 1, 20, 20)
    assert torch.equal(traced(x), network(x))


def test_meta_tensors_have_shapes_and_formats():
    for fmt in (torch.contiguous_format, torch.channels_last):
        x = torch.empty(8, 6, 224, 224, device="meta").contiguous(memory_format=fmt)
        y = functional.max_pool2d(
            functional.conv2d(x, torch.empty(64, 6, 7, 7, device="meta"), stride=2, padding=3),
            3,
            2,
            1,
        )
        assert y.shape == (8, 64, 56, 56)
        assert y.is_contiguous(memory_format=fmt)


class TestAutocast:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_convolutions_run_in_the_lower_type(self, dtype):
        x = torch.randn(2, 3, 8, 8, requires_grad=True)
        w = torch.randn(4, 3, 3, 3, requires_grad=True)
        b = torch.randn(4, requires_grad=True)
        with torch.autocast("cpu", dtype):
            y = functional.conv2d(x, w, b, padding=1, activation="relu")
            z = functional.conv_transpose2d(x, w.transpose(0, 1)[:3], b[:4], stride=2)
        assert y.dtype == z.dtype == dtype
        low = [t.detach().to(dtype) for t in (x, w, b)]
        assert torch.equal(y, functional.conv2d(*low, padding=1, activation="relu"))
        y.float().sum().backward()
        assert x.grad.dtype == w.grad.dtype == b.grad.dtype == torch.float32

    def test_pools_keep_the_type(self):
        x = torch.randn(2, 3, 8, 8)
        with torch.autocast("cpu", torch.bfloat16):
            for pool in (functional.max_pool2d, functional.avg_pool2d):
                assert pool(x, 2).dtype == torch.float32
                assert pool(x.bfloat16(), 2).dtype == torch.bfloat16

    def test_float64_and_disabled_autocast_stay(self):
        x, w = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3)
        with torch.autocast("cpu", torch.bfloat16):
            assert functional.conv2d(x.double(), w.double()).dtype == torch.float64
            with torch.autocast("cpu", enabled=False):
                assert functional.conv2d(x, w).dtype == torch.float32

    def test_trains_a_network(self):
        torch.manual_seed(0)
        network, x = Network(), torch.rand(2, 1, 20, 20)
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(x).float().square().mean()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in network.parameters())
        torch.testing.assert_close(loss, network(x).square().mean(), rtol=0.05, atol=0.01)
