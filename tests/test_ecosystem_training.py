# SPDX-License-Identifier: BSD-3-Clause
"""Training as torch's tools do it: autocast, checkpoints, hooks, determinism, anomalies, graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.ecosystem import batch, gradients, network
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import cnnkern


def _model() -> Any:
    # Evaluation keeps the statistics of the norm, so that a second forward pass is the first.
    return cnnkern.convert(network()).eval()


def _by(forward: Callable[[nn.Module, Tensor], Tensor]) -> dict[str, Tensor]:
    model, (images, labels) = _model(), batch()
    images.requires_grad_()  # the reentrant kind needs an input that has a gradient
    nn.functional.cross_entropy(forward(model, images), labels).backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    return {**found, "images": images.grad}  # type: ignore[dict-item]


def _equal(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert torch.equal(got[name], gradient), name


@pytest.mark.parametrize("reentrant", [False, True], ids=["saved", "reentrant"])
def test_activation_checkpoints(reentrant: bool) -> None:
    plain = _by(lambda model, x: model(x))
    _equal(_by(lambda model, x: checkpoint(model, x, use_reentrant=reentrant)), plain)
    in_parts = _by(lambda model, x: checkpoint_sequential(model, 3, x, use_reentrant=reentrant))
    _equal(in_parts, plain)


def test_saved_tensors_go_through_hooks() -> None:
    plain, sizes = _by(lambda model, x: model(x)), []

    def pack(t: Tensor) -> Tensor:
        sizes.append(t.nbytes)
        return t.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t.clone()):
        _equal(_by(lambda model, x: model(x)), plain)
    assert len(sizes) > 10
    with torch.autograd.graph.save_on_cpu():
        _equal(_by(lambda model, x: model(x)), plain)


def test_saved_tensors_are_where_memory_is_kept() -> None:
    # The argmax of a max pool is saved in bytes: hooks that move it see no 8-byte indices.
    saved = []
    pool, x = cnnkern.nn.MaxPool2d(2), torch.randn(1, 2, 8, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.append((t.dtype, t.numel())) or t, lambda t: t
    ):
        pool(x).sum().backward()
    assert saved == [(torch.uint8, 32)]


def test_deterministic_mode_has_nothing_to_refuse() -> None:
    images, labels = batch(16)
    plain = {name: g.clone() for name, g in gradients(_model(), images, labels).items()}
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            _equal(gradients(_model(), images, labels), plain)
    finally:
        torch.use_deterministic_algorithms(False)


def test_anomaly_mode_names_the_operator() -> None:
    model, (images, labels) = _model(), batch()
    slope = torch.full(
        (1, 4, 8, 8), torch.inf
    )  # times weights of both signs: infinity less infinity
    with torch.autograd.detect_anomaly(check_nan=True):
        gradients(model, images, labels)
        with (
            pytest.warns(UserWarning, match="Error detected in CnnkernConvInputGradBackward"),
            pytest.raises(RuntimeError, match="CnnkernConvInputGradBackward' returned nan"),
        ):
            model.transposed(model.depthwise(torch.randn(1, 8, 4, 4))).backward(slope)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_trains_as_torch_does(dtype: torch.dtype) -> None:
    losses: dict[str, list[float]] = {}
    images, labels = batch(16)
    for name, model in (("torch", network()), ("cnnkern", cnnkern.convert(network()))):
        kinds: dict[str, torch.dtype] = {}
        for layer in ("conv", "depthwise", "transposed", "avg_pool"):
            model.get_submodule(layer).register_forward_hook(
                lambda *call, layer=layer, kinds=kinds: kinds.update({layer: call[2].dtype})
            )
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        scaler = torch.amp.GradScaler("cpu", enabled=dtype == torch.float16)
        losses[name] = []
        for _ in range(8):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype):
                loss = nn.functional.cross_entropy(model(images), labels)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses[name].append(loss.item())
        assert set(kinds.values()) == {dtype}, name
        assert all(p.grad.dtype == p.dtype == torch.float32 for p in model.parameters())
    assert losses["cnnkern"][-1] < 0.95 * losses["cnnkern"][0]
    for ours, theirs in zip(losses["cnnkern"], losses["torch"], strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_cuda_graph_replays_a_training_step() -> None:
    model = _model().cuda()
    images, labels = (t.cuda() for t in batch())
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            gradients(model, images, labels)
    torch.cuda.current_stream().wait_stream(side)
    model.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        nn.functional.cross_entropy(model(images), labels).backward()
    captured = {name: p.grad for name, p in model.named_parameters()}
    for seed in (7, 8):
        more = batch(seed=seed)
        images.copy_(more[0])
        labels.copy_(more[1])
        for gradient in captured.values():
            gradient.zero_()
        graph.replay()
        replayed = {name: g.clone() for name, g in captured.items()}
        _equal(gradients(_model().cuda(), images, labels), replayed)
