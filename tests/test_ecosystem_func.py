# SPDX-License-Identifier: BSD-3-Clause
"""torch.func over a converted network: gradients of each sample, Jacobians, ensembles."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support.ecosystem import batch, gradients, network
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, stack_module_state, vmap

import cnnkern


@pytest.fixture(autouse=True)
def _without_loops() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*performance drop.*")
        yield


def _model(seed: int = 3) -> Any:
    return cnnkern.convert(network(seed)).double().eval()


def _loss(model: nn.Module) -> Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]:
    buffers = dict(model.named_buffers())

    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, (parameters, buffers), (image[None],))
        return nn.functional.cross_entropy(logits, label[None])

    return loss


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def _same(got: Any, wanted: Any) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_gradients_of_each_sample(chunk_size: int | None) -> None:
    model, (images, labels) = _model(), batch(5)
    images = images.double()
    each = vmap(grad(_loss(model)), (None, 0, 0), chunk_size=chunk_size)
    got = each(_parameters(model), images, labels)
    for i in range(len(labels)):
        for name, wanted in gradients(model, images[i : i + 1], labels[i : i + 1]).items():
            _same(got[name][i], wanted)


def test_jacobians_of_a_network() -> None:
    model, (images, _) = _model(), batch(2)
    theirs = network().double().eval()
    images = images.double()
    for make in (jacrev, jacfwd):
        _same(make(model)(images), make(theirs)(images))

    def outputs(m: nn.Module) -> Callable[..., Tensor]:
        return lambda p: functional_call(m, p, (images,)).sum(0)

    names = ("grouped.weight", "transposed.bias")
    some = {name: p for name, p in _parameters(model).items() if name in names}
    got, wanted = jacrev(outputs(model))(some), jacrev(outputs(theirs))(some)
    assert got.keys() == set(names)
    for name in names:
        _same(got[name], wanted[name])


def test_hessian_of_a_layers_weights() -> None:
    images, labels = batch(1)

    def of_network(model: nn.Module) -> Any:
        loss = _loss(model)

        def by_weight(weight: Tensor) -> Tensor:
            parameters = {**_parameters(model), "grouped.weight": weight}
            return loss(parameters, images[0].double(), labels[0])

        return hessian(by_weight)(model.grouped.weight.detach()[:8])

    got, wanted = of_network(_model()), of_network(network().double().eval())
    assert got.shape == (8, 4, 3, 3) * 2
    assert got.abs().max() > 0
    _same(got, wanted)


def test_an_ensemble_runs_as_one() -> None:
    models, (images, _) = [_model(seed) for seed in range(3)], batch()
    images = images.double()
    parameters, buffers = stack_module_state(models)
    skeleton = copy.deepcopy(models[0]).to("meta")

    def one(parameters: Any, buffers: Any, images: Tensor) -> Tensor:
        return functional_call(skeleton, (parameters, buffers), (images,))

    got = vmap(one, (0, 0, None))(parameters, buffers, images)
    for result, model in zip(got, models, strict=True):
        _same(result, model(images))
    got.square().sum().backward()
    for i, model in enumerate(models):
        model(images).square().sum().backward()
        for name, p in model.named_parameters():
            _same(parameters[name].grad[i], p.grad)


def test_functional_call_leaves_the_model_alone() -> None:
    model, (images, _) = _model(), batch()
    before = {name: p.clone() for name, p in model.named_parameters()}
    zeros = {name: torch.zeros_like(p) for name, p in before.items()}
    assert not functional_call(model, zeros, (images.double(),)).any()
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
