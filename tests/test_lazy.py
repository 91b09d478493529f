# SPDX-License-Identifier: BSD-3-Clause
"""Lazy layers: torch's until the first input, this package's from then on."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from support.recording import Operators
from torch.nn.parameter import UninitializedParameter

import cnnkern

NAMES = [f"{kind}{rank}d" for kind in ("LazyConv", "LazyConvTranspose") for rank in (1, 2, 3)]
OPTIONS: list[dict[str, Any]] = [{}, {"stride": 2, "padding": 1, "bias": False}, {"groups": 2}]


def pair(name: str, options: dict[str, Any]) -> tuple[Any, Any, torch.Tensor]:
    """torch's layer, ours, and an input of 4 channels."""
    layers = [getattr(module, name)(6, 3, **options) for module in (torch.nn, cnnkern.nn)]
    x = torch.randn(2, 4, *(7,) * int(name[-2]))
    return layers[0], layers[1], x


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_becomes_our_layer_with_torchs_parameters(name: str, options: dict[str, Any]) -> None:
    theirs, ours, x = pair(name, options)
    assert isinstance(ours, getattr(torch.nn, name))
    assert repr(ours) == repr(theirs)
    assert isinstance(ours.weight, UninitializedParameter)
    results = []
    for layer in (theirs, ours):
        torch.manual_seed(2)
        with Operators() as operators:
            results.append(layer(x))
    assert operators.names, "the first call ran torch's operator"
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)
    assert type(ours) is getattr(cnnkern.nn, name.removeprefix("Lazy"))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_both_ways(name: str) -> None:
    theirs, ours, x = pair(name, {})
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ours.load_state_dict(theirs.state_dict())  # still without shapes
    assert ours.has_uninitialized_params()
    theirs(x)
    ours.load_state_dict(theirs.state_dict())  # with shapes, before any input
    assert not ours.has_uninitialized_params()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
    _, fresh, _ = pair(name, {})
    fresh.load_state_dict(ours.state_dict())
    torch.testing.assert_close(fresh(x), ours(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_before_the_first_input(name: str) -> None:
    _, ours, x = pair(name, {})
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert twin(x).shape == ours(x).shape
        assert type(twin) is getattr(cnnkern.nn, name.removeprefix("Lazy"))


@pytest.mark.parametrize("name", NAMES)
def test_extras_stay(name: str) -> None:
    layer = getattr(cnnkern.nn, name)(6, 3, activation="relu", algorithm="direct")
    y = layer(torch.randn(2, 4, *(7,) * int(name[-2])))
    assert y.min() == 0
    assert repr(layer).endswith("activation=relu, algorithm=direct)")
    with pytest.raises(ValueError, match=f"{name}: expected activation"):
        getattr(cnnkern.nn, name)(6, 3, activation="tanh")


def test_paddings_beyond_torchs() -> None:
    layer = cnnkern.nn.LazyConv2d(3, 3, stride=2, padding="same")
    assert layer(torch.randn(1, 2, 7, 7)).shape == (1, 3, 4, 4)
    layer = cnnkern.nn.LazyConv2d(3, 3, padding=((2, 0), (1, 1)))
    assert layer(torch.randn(1, 2, 7, 7)).shape == (1, 3, 7, 7)
    up = cnnkern.nn.LazyConvTranspose2d(3, 3, stride=2, padding=1)
    assert up(torch.randn(1, 2, 4, 4), output_size=(8, 8)).shape == (1, 3, 8, 8)


def test_refuses_as_torch() -> None:
    for module in (torch.nn, cnnkern.nn):
        with pytest.raises(RuntimeError, match=r"3D .* or 4D"):
            module.LazyConv2d(3, 3)(torch.randn(5, 5))
        with pytest.raises(ValueError, match="divisible by groups"):
            module.LazyConv2d(4, 3, groups=4)(torch.randn(1, 6, 5, 5))
        with pytest.raises(ValueError, match="padding"):
            module.LazyConv2d(4, 3, padding="causal")
