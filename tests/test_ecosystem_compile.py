# SPDX-License-Identifier: BSD-3-Clause
"""torch.compile of converted networks: one graph, any batch, and the backward pass with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from support.ecosystem import batch, gradients, network
from torch import nn

import cnnkern
from cnnkern.benchmark.models import load_model


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def _model() -> Any:
    model = cnnkern.convert(network()).double().eval()
    model.conv.activation = "relu"
    return model


def _copies(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: gradient.clone() for name, gradient in found.items()}


def _same(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_resnet50_is_one_graph_for_every_batch() -> None:
    model, images = load_model("torchvision:resnet50", (3, 3, 32, 32))
    cnnkern.convert(model)
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    torch._dynamo.mark_dynamic(images, 0)
    with torch.no_grad():
        for batch_of in (images, torch.randn(5, 3, 32, 32), torch.randn(8, 3, 32, 32)):
            torch.testing.assert_close(compiled(batch_of), model(batch_of), rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1
    calls = [str(n.target) for n in counter.graphs[0].graph.nodes if n.op == "call_function"]
    assert sum("cnnkern" in call or "conv2d" in call for call in calls) >= 53


def test_every_kind_of_layer_trains_in_one_graph() -> None:
    model = _model()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counter)
    counts = []
    for count in (4, 7):
        images, labels = batch(count)
        wanted = _copies(gradients(model, images.double(), labels))
        got = gradients(compiled, images.double(), labels)
        _same({name.removeprefix("_orig_mod."): g for name, g in got.items()}, wanted)
        counts.append(counter.frame_count)
    assert counts[0] == counts[1]


def test_compiled_autograd_traces_every_backward_pass() -> None:
    model = _model()
    graphs = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")

    def compiled(graph: torch.fx.GraphModule) -> Any:
        return torch.compile(graph, backend=graphs, fullgraph=True, dynamic=True)

    counts = []
    for count in (4, 6, 3):
        images, labels = batch(count)
        wanted = _copies(gradients(model, images.double(), labels))
        with torch._dynamo.compiled_autograd._enable(compiled):
            got = gradients(model, images.double(), labels)
        _same(got, wanted)
        counts.append(graphs.frame_count)
    assert counts[0] == counts[2]  # sizes are the graph's arguments


def test_compiled_autograd_tells_calls_apart() -> None:
    # The same graph but for stride, padding, groups, ceil_mode, and whose gradients are wanted.
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    layers = [
        cnnkern.nn.Conv2d(4, 4, 3, padding=1),
        cnnkern.nn.Conv2d(4, 4, 3, padding=1, dilation=1, stride=2),
        cnnkern.nn.Conv2d(4, 4, 3, padding=1, groups=4),
        cnnkern.nn.ConvTranspose2d(4, 4, 3, padding=1),
        nn.Sequential(cnnkern.nn.MaxPool2d(2), cnnkern.nn.Conv2d(4, 4, 1)),
        nn.Sequential(cnnkern.nn.MaxPool2d(2, ceil_mode=True), cnnkern.nn.Conv2d(4, 4, 1)),
        cnnkern.nn.Conv2d(4, 4, 3, padding=1).requires_grad_(False),
    ]
    leaf = x.clone().requires_grad_()
    for layer in layers:
        leaves = [leaf, *(p for p in layer.double().parameters() if p.requires_grad)]
        wanted = torch.autograd.grad(layer(leaf).pow(2).sum(), leaves)
        with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
            leaf.grad = None
            layer.zero_grad()
            layer(leaf).pow(2).sum().backward()
        for own, gradient in zip(leaves, wanted, strict=True):
            torch.testing.assert_close(own.grad, gradient, rtol=1e-11, atol=1e-12)
