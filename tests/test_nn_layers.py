# SPDX-License-Identifier: BSD-3-Clause
"""cnnkern.nn's layers in place of torch.nn's: arguments, initialisation, repr, state, results."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnkern

# Those that take another first argument or input have tests of their own.
APART = ("LPPool", "Lazy", "MaxUnpool")
NAMES = [n for n in cnnkern.nn.__all__ if hasattr(torch.nn, n) and not n.startswith(APART)]

CONV: list[dict[str, Any]] = [
    {},
    {"stride": 2},
    {"padding": 1, "bias": False},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
    {"groups": 2, "stride": 2, "padding": 2},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate", "stride": 2},
    {"padding": 2, "padding_mode": "circular", "groups": 2},
    {"padding": "same", "padding_mode": "circular"},
    {"padding": "valid", "padding_mode": "reflect"},
    {"dtype": torch.float64, "device": "cpu"},
]
TRANSPOSE: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"groups": 2, "bias": False},
    {"dilation": 2, "output_padding": 1, "stride": 2},
]
MAX: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2},
    {"ceil_mode": True},
    {"return_indices": True},
]
AVG: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"ceil_mode": True, "count_include_pad": False, "padding": 1},
]


def options(name: str) -> list[dict[str, Any]]:
    if name.startswith("ConvTranspose"):
        return TRANSPOSE
    if name.startswith("Adaptive"):
        return [{}, {"return_indices": True}] if "Max" in name else [{}]
    return CONV if name.startswith("Conv") else MAX if name.startswith("Max") else AVG


def pair(name: str, kwargs: dict[str, Any]) -> tuple[torch.nn.Module, torch.nn.Module]:
    """torch's layer and ours, each from the same seed."""
    args = (4, 6, 3) if name.startswith("Conv") else (3,)
    torch.manual_seed(1)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    torch.manual_seed(1)
    return theirs, getattr(cnnkern.nn, name)(*args, **kwargs)


def sample(name: str, layer: torch.nn.Module) -> Tensor:
    dtype = next((p.dtype for p in layer.parameters()), torch.float32)
    return torch.randn(2, 4, *(7,) * int(name[-2])).to(dtype)


CASES = [(name, kwargs) for name in NAMES for kwargs in options(name)]


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=str)
def test_layer_is_torchs(name: str, kwargs: dict[str, Any]) -> None:
    theirs, ours = pair(name, kwargs)
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), "initialised from another stream"
    # The generator stands where torch left it.
    x = sample(name, ours)
    got, expected = ours(x), theirs(x)
    if kwargs.get("return_indices"):
        assert torch.equal(got[1], expected[1])
        got, expected = got[0], expected[0]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours(x[0]), theirs(x[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_drawn_are_as_many(name: str) -> None:
    args = (4, 6, 3) if name.startswith("Conv") else (3,)
    torch.manual_seed(3)
    getattr(torch.nn, name)(*args)
    after = torch.rand(1)
    torch.manual_seed(3)
    getattr(cnnkern.nn, name)(*args)
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_torchs_plus_keywords(name: str) -> None:
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    ours = inspect.signature(getattr(cnnkern.nn, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for key, value in theirs.items():
        assert ours[key].default == value.default
        assert ours[key].kind == value.kind
    extras = [p for p in ours.values() if p.kind is p.KEYWORD_ONLY]
    assert [p.name for p in extras] == (["activation", "algorithm"] if "Conv" in name else [])
    forward = inspect.signature(getattr(cnnkern.nn, name).forward).parameters
    theirs = inspect.signature(getattr(torch.nn, name).forward).parameters
    added = ["residual"] if name.startswith("Conv") and "Transpose" not in name else []
    assert list(forward) == [*theirs, *added]
    assert all(forward[name].kind is inspect.Parameter.KEYWORD_ONLY for name in added)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("Conv")])
def test_state_goes_both_ways(name: str) -> None:
    theirs, ours = pair(name, {"groups": 2})
    torch.nn.init.normal_(ours.get_parameter("weight"))
    theirs.load_state_dict(ours.state_dict())
    x = sample(name, ours)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
    torch.nn.init.normal_(theirs.get_parameter("weight"))
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles(name: str) -> None:
    extras = {"activation": "relu", "algorithm": "direct"} if "Conv" in name else {}
    layer = getattr(cnnkern.nn, name)(*((4, 6, 3) if "Conv" in name else (3,)), **extras)
    x = sample(name, layer)
    saved = io.BytesIO()
    torch.save(layer, saved)
    saved.seek(0)
    for twin in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(saved, weights_only=False),
    ):
        assert repr(twin) == repr(layer)
        assert torch.equal(twin(x), layer(x))


def test_modules_pickled_without_the_extras_load() -> None:
    layer = cnnkern.nn.Conv2d(1, 2, 3, activation="relu")
    state = {k: v for k, v in layer.__dict__.items() if k not in ("activation", "algorithm")}
    old = cnnkern.nn.Conv2d.__new__(cnnkern.nn.Conv2d)
    old.__setstate__(state)
    x = torch.randn(1, 1, 5, 5)
    assert (old.activation, old.algorithm) == (None, "auto")
    torch.testing.assert_close(old(x), torch.nn.functional.conv2d(x, old.weight, old.bias))


def test_extras_appear_in_repr_only_when_set() -> None:
    layer = cnnkern.nn.Conv2d(1, 2, 3, activation="relu", algorithm="direct")
    assert repr(layer).endswith("stride=(1, 1), activation=relu, algorithm=direct)")
    assert "activation" not in repr(cnnkern.nn.Conv2d(1, 2, 3, activation=None, algorithm="auto"))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_same_works_with_strides(rank: int, mode: str) -> None:
    torch.manual_seed(0)
    conv = getattr(cnnkern.nn, f"Conv{rank}d")
    layer = conv(2, 3, 4, stride=2, padding="same", padding_mode=mode, dtype=torch.float64)
    assert layer.padding == "same"
    x = torch.randn(1, 2, *(7,) * rank).double()
    y = layer(x)
    assert y.shape[2:] == (4,) * rank
    filled = "constant" if mode == "zeros" else mode
    # 7 elements, 4 outputs: (4 - 1) * 2 + 4 - 7 = 3 of padding, one before and two after.
    padded = torch.nn.functional.pad(x, (1, 2) * rank, mode=filled)
    plain = getattr(torch.nn.functional, f"conv{rank}d")
    torch.testing.assert_close(y, plain(padded, layer.weight, layer.bias, 2))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_pairs_of_padding(mode: str) -> None:
    layer = cnnkern.nn.Conv2d(
        2, 3, 3, padding=[(2, 0), (1, 3)], padding_mode=mode, dtype=torch.float64
    )
    assert "padding=((2, 0), (1, 3))" in repr(layer)
    x = torch.randn(1, 2, 6, 7).double()
    padded = torch.nn.functional.pad(x, (1, 3, 2, 0), mode="constant" if mode == "zeros" else mode)
    torch.testing.assert_close(
        layer(x), torch.nn.functional.conv2d(padded, layer.weight, layer.bias)
    )


@pytest.mark.parametrize("padding", ["same", "valid", ((0, 1),), (1,), 1])
def test_pools_take_every_padding(padding: Any) -> None:
    x = torch.randn(1, 2, 7)
    for name in ("MaxPool1d", "AvgPool1d"):
        layer = getattr(cnnkern.nn, name)(3, 2, padding)
        op = getattr(cnnkern.functional, "max_pool1d" if "Max" in name else "avg_pool1d")
        assert torch.equal(layer(x), op(x, 3, 2, padding))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_output_size_picks_the_size(rank: int) -> None:
    theirs, ours = pair(f"ConvTranspose{rank}d", {"stride": 3, "padding": 1})
    x = torch.randn(2, 4, *(5,) * rank)
    for size in ((13,) * rank, (14,) * rank, (15,) * rank, (2, 6, *(15,) * rank)):
        torch.testing.assert_close(ours(x, list(size)), theirs(x, list(size)), rtol=1e-4, atol=1e-5)
    for wrong in ([12] * rank, [16] * rank, [13] * (rank + 3)):
        with pytest.raises(ValueError):  # noqa: PT011
            theirs(x, wrong)
        with pytest.raises(ValueError, match=f"ConvTranspose{rank}d: expected output_size"):
            ours(x, wrong)


def test_output_size_with_pairs_of_padding() -> None:
    layer = cnnkern.nn.ConvTranspose2d(2, 3, 3, stride=2, padding=((1, 0), (2, 1)))
    x = torch.randn(1, 2, 4, 4)
    plain = layer(x)
    assert layer(x, output_size=[s + 1 for s in plain.shape[2:]]).shape[2:] == tuple(
        s + 1 for s in plain.shape[2:]
    )


REFUSED: list[dict[str, Any]] = [
    {"groups": 0},
    {"groups": 3},
    {"padding": "SAME"},
    {"padding": "causal"},
    {"padding_mode": "mirror"},
    {"in_channels": 5, "groups": 2},
]


@pytest.mark.parametrize("kwargs", REFUSED, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_constructor_refuses_as_torch(rank: int, kwargs: dict[str, Any]) -> None:
    kwargs = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **kwargs}
    for namespace in (torch.nn, cnnkern.nn):
        with pytest.raises(ValueError):  # noqa: PT011
            getattr(namespace, f"Conv{rank}d")(**kwargs)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("Conv")])
def test_constructor_refuses_unknown_extras(name: str) -> None:
    layer = getattr(cnnkern.nn, name)
    with pytest.raises(ValueError, match=f"{name}: expected activation"):
        layer(4, 6, 3, activation="tanh")
    with pytest.raises(ValueError, match=f"{name}: expected algorithm"):
        layer(4, 6, 3, algorithm="fastest")
    if name.startswith("ConvTranspose"):
        for namespace in (torch.nn, cnnkern.nn):
            with pytest.raises(ValueError, match=r"zeros"):
                getattr(namespace, name)(4, 6, 3, padding_mode="circular")


def test_frozen_weights_get_no_gradient() -> None:
    layer = cnnkern.nn.Conv2d(2, 3, 3)
    layer.weight.requires_grad_(False)
    x = torch.randn(1, 2, 5, 5, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None
    assert layer.bias is not None
    assert layer.bias.grad is not None


def test_training_follows_torchs() -> None:
    def build(nn: Any) -> torch.nn.Sequential:
        torch.manual_seed(5)
        return torch.nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, groups=2),
            nn.ConvTranspose2d(4, 2, 2, stride=2),
            nn.AvgPool2d(2),
        ).double()

    x, losses = torch.randn(4, 1, 10, 10).double(), []
    for nn in (torch.nn, cnnkern.nn):
        net = build(nn)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(5):
            optimizer.zero_grad()
            loss = net(x).square().sum()
            loss.backward()
            optimizer.step()
        losses.append(loss.detach())
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-9, atol=1e-12)
