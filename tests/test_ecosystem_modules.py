# SPDX-License-Identifier: BSD-3-Clause
"""Layers as objects: copied, pickled, saved, sent to workers, wrapped and parametrized."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from support.ecosystem import batch, gradients, network
from support.workers import Filtered
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver
from torch.nn.utils import parametrizations, parametrize
from torch.utils.data import DataLoader

import cnnkern


def _model(seed: int = 3) -> Any:
    return cnnkern.convert(network(seed)).eval()


def _through_pickle(model: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(model))


def _through_a_file(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, _through_pickle, _through_a_file], ids=["deepcopy", "pickle", "save"]
)
def test_copies_are_apart_and_alike(twin: Any) -> None:
    model, (images, labels) = _model(), batch()
    model.conv.activation = "relu"
    other = twin(model)
    assert [type(m) for m in other.modules()] == [type(m) for m in model.modules()]
    assert other.conv.activation == "relu"
    first, second = gradients(model, images, labels), gradients(other, images, labels)
    for name, gradient in first.items():
        assert torch.equal(gradient, second[name])
    with torch.no_grad():
        other.conv.weight.zero_()
    assert model.conv.weight.any()


def test_weights_go_both_ways_without_code() -> None:
    ours, theirs = _model(1), network(2).eval()
    images, _ = batch()
    for source, target in ((ours, network().eval()), (theirs, _model())):
        file = io.BytesIO()
        torch.save(source.state_dict(), file)
        file.seek(0)
        target.load_state_dict(torch.load(file, weights_only=True))
        torch.testing.assert_close(target(images), source(images))


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_loader_run_the_layers(context: str) -> None:
    data = Filtered()
    whole = torch.stack([data[i] for i in range(len(data))])  # fork after use: threads are gone
    loader = DataLoader(
        data, batch_size=2, num_workers=1 + (context == "fork"), multiprocessing_context=context
    )
    assert torch.equal(torch.cat(list(loader)), whole)


class FakeQuantized(nn.Module):
    """A user's wrapper: quantises what goes into any layer and what comes out of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.before, self.layer, self.after = _fake_quantize(), layer, _fake_quantize()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.after(self.layer(self.before(x)))
        return result


def _fake_quantize() -> Any:
    return FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255)


def _quantized(model: Any) -> Any:
    for name in ("conv", "grouped", "depthwise", "transposed"):
        layer = model.get_submodule(name)
        parametrize.register_parametrization(layer, "weight", _fake_quantize())
        setattr(model, name, FakeQuantized(layer))
    return model.train()


def test_quantisation_aware_training_is_torchs() -> None:
    images, labels = batch(16)
    losses: list[list[float]] = []
    for model in (
        _quantized(network()),
        _quantized(_model()),
        cnnkern.convert(_quantized(network())),
    ):
        optimizer, seen = torch.optim.SGD(model.parameters(), 0.3), []
        for _ in range(6):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(seen)
        weight = model.conv.layer.weight
        assert weight.unique().numel() <= 256
        assert weight.unique().numel() < model.conv.layer.parametrizations.weight.original.numel()
    assert losses[0][-1] < 0.95 * losses[0][0]
    for ours in losses[1:]:  # one step of the quantiser where a rounding tips over
        assert ours == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize(
    "wrap",
    [parametrizations.weight_norm, parametrizations.spectral_norm],
    ids=["weight", "spectral"],
)
def test_normed_weights(wrap: Any) -> None:
    results, (images, labels) = [], batch()
    for model in (network().double().eval(), _model().double()):
        torch.manual_seed(4)
        for name in ("conv", "grouped", "depthwise", "transposed"):
            wrap(model.get_submodule(name))
        results.append(gradients(model, images.double(), labels))
    for name, gradient in results[0].items():
        torch.testing.assert_close(results[1][name], gradient, rtol=1e-9, atol=1e-12)
