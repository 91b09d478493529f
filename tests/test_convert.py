# SPDX-License-Identifier: BSD-3-Clause
"""convert and revert: layers change their class, and everything around them stays."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import cnnkern
import cnnkern.convert

CONVERTED = [name for name in cnnkern.nn.__all__ if hasattr(nn, name)]


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


class Branches(nn.Module):
    """Of everything: nested, in a dict, shared, tied, frozen, functional calls beside."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.branches = nn.ModuleDict(
            {
                "wide": nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect"),
                "grouped": nn.Conv2d(4, 4, 3, padding="same", groups=2),
                "none": nn.Identity(),
            }
        )
        self.shared = nn.Sequential(nn.Conv2d(4, 4, 1), nn.AvgPool2d(3, 1, 1))
        self.again = self.shared
        self.tied = nn.Conv2d(4, 4, 1)
        self.tied.weight = self.shared.get_submodule("0").weight  # type: ignore[assignment]
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.frozen = nn.Conv2d(3, 1, 3, dilation=2).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = sum(branch(x) for branch in self.branches.values())
        x = self.tied(self.again(self.shared(x)))
        values, _ = self.pool(x)
        return self.frozen(self.up(values))


def build() -> Branches:
    torch.manual_seed(3)
    return Branches().double()


def gradients(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor | None], Tensor]:
    x = x.clone().requires_grad_()
    model.zero_grad()
    y = model(x)
    y.square().sum().backward()
    assert x.grad is not None
    return y.detach(), [p.grad for p in model.parameters()], x.grad


def assert_same(model: nn.Module, twin: nn.Module, x: Tensor) -> None:
    """Outputs and all gradients agree in float64."""
    for got, expected in zip(gradients(model, x), gradients(twin, x), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def assert_equal_states(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(got) == list(expected)
    assert all(torch.equal(got[key], value) for key, value in expected.items())


def classes(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules()]


def test_a_whole_network_there_and_back() -> None:
    model, twin, x = build(), build(), torch.randn(2, 2, 9, 10).double()
    before = classes(model)
    parameters = dict(model.named_parameters())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    assert cnnkern.convert(model) is model
    assert_equal_states(model.state_dict(), state)
    ours = [cls for cls in classes(model) if cls.__module__.startswith("cnnkern.")]
    assert len(ours) == 9
    assert all(value is parameters[name] for name, value in model.named_parameters())
    assert repr(model) == repr(twin)
    assert_same(model, twin, x)
    assert_same(model.eval(), twin.eval(), x)
    assert not any(module.training for module in model.modules())
    assert model.frozen.weight.grad is None
    state = {key: value.clone() for key, value in model.state_dict().items()}
    assert cnnkern.revert(model) is model
    assert classes(model) == before
    assert_equal_states(model.state_dict(), state)
    assert_same(model, twin, x)


@pytest.mark.parametrize("name", CONVERTED)
def test_every_class_there_and_back(name: str) -> None:
    if name.startswith(("Conv", "LazyConv")):
        args: tuple[Any, ...] = (4, 3) if name.startswith("Lazy") else (2, 4, 3)
    else:
        args = (2, 2) if name.startswith("LP") else (2,)
    layer = getattr(nn, name)(*args)
    text, attributes = repr(layer), dict(layer.__dict__)
    assert type(cnnkern.convert(layer)) is getattr(cnnkern.nn, name)
    assert (repr(layer), layer.__dict__) == (text, attributes)
    cnnkern.convert(layer)
    assert type(layer) is getattr(cnnkern.nn, name)
    assert type(cnnkern.revert(layer)) is getattr(nn, name)
    assert (repr(layer), layer.__dict__) == (text, attributes)
    # One that began as cnnkern's leaves nothing of its own behind.
    born = cnnkern.revert(getattr(cnnkern.nn, name)(*args))
    assert type(born) is getattr(nn, name)
    assert set(born.__dict__) == set(attributes)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.filterwarnings("ignore:Using padding")
@pytest.mark.parametrize("padding", ["same", "valid", 1, (2, 1)])
def test_paddings_there_and_back(padding: Any, mode: str) -> None:
    made = {"padding": padding, "padding_mode": mode, "dilation": (1, 2), "dtype": torch.float64}
    theirs, ours = nn.Conv2d(2, 3, (4, 3), **made), cnnkern.nn.Conv2d(2, 3, (4, 3), **made)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 2, 9, 9).double()
    expected = theirs(x)
    torch.testing.assert_close(cnnkern.convert(theirs)(x), expected, rtol=1e-12, atol=1e-13)
    # torch's forward reads what its own constructor would have made of the padding.
    torch.testing.assert_close(cnnkern.revert(ours)(x), expected, rtol=1e-12, atol=1e-13)
    assert type(ours) is nn.Conv2d


def test_hooks_run_as_before() -> None:
    def run(model: nn.Conv2d) -> list[str]:
        seen: list[str] = []
        model.register_forward_pre_hook(lambda *_: seen.append("before"))
        model.register_forward_hook(lambda *_: seen.append("after"))
        model.register_full_backward_pre_hook(lambda *_: seen.append("backward before"))
        model.register_full_backward_hook(lambda *_: seen.append("backward"))
        model.register_state_dict_pre_hook(lambda *_: seen.append("state"))
        model.weight.register_hook(lambda _: seen.append("weight"))
        if convert:
            cnnkern.convert(model)
        model(torch.randn(1, 2, 5, 5, requires_grad=True)).sum().backward()
        model.state_dict()
        return seen

    convert = False
    expected = run(nn.Conv2d(2, 3, 3))
    convert = True
    assert run(nn.Conv2d(2, 3, 3)) == expected
    assert len(expected) == 6


REPARAMETRIZED: dict[str, Callable[[nn.Module], Any]] = {
    "parametrize": lambda m: parametrize.register_parametrization(m, "weight", Doubled()),
    "two": lambda m: [
        parametrize.register_parametrization(m, name, Doubled()) for name in ("weight", "bias")
    ],
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight_norm by a hook": nn.utils.weight_norm,
    "spectral_norm by a hook": nn.utils.spectral_norm,
    "pruned by a hook": lambda m: prune.l1_unstructured(m, "weight", amount=0.5),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("way", REPARAMETRIZED)
@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_reparametrized_weights(kind: str, way: str) -> None:
    def layer() -> nn.Module:
        torch.manual_seed(4)
        made = nn.Sequential(getattr(nn, kind)(3, 4, 2)).double()
        REPARAMETRIZED[way](made[0])
        return made

    model, twin = layer(), layer()
    x = torch.randn(2, 3, 6, 6).double()
    keys = list(model.state_dict())
    cnnkern.convert(model)
    ours = getattr(cnnkern.nn, kind)
    assert isinstance(model[0], ours)
    assert_same(model, twin, x)  # in train mode: spectral_norm's power iteration goes along
    if not way.endswith("hook"):  # of which, once called, torch makes no deep copies
        assert_same(copy.deepcopy(model), copy.deepcopy(twin), x)
    cnnkern.convert(model)
    assert list(model.state_dict()) == keys
    assert isinstance(cnnkern.revert(model)[0], getattr(nn, kind))
    assert not isinstance(model[0], ours)
    assert_same(model, twin, x)


def test_parametrizations_come_off_afterwards() -> None:
    model = nn.Conv2d(2, 3, 3)
    parametrize.register_parametrization(model, "weight", Doubled())
    copied = copy.deepcopy(model)  # shares the class that torch made for both
    weight = model.weight.detach().clone()
    cnnkern.convert(model)
    assert not isinstance(copied, cnnkern.nn.Conv2d)
    assert parametrize.type_before_parametrizations(model) is cnnkern.nn.Conv2d
    parametrize.remove_parametrizations(model, "weight")
    assert type(model) is cnnkern.nn.Conv2d
    assert torch.equal(model.weight, weight)
    assert torch.equal(copied.weight, weight)
    parametrize.register_parametrization(model, "weight", Doubled())
    cnnkern.revert(model)
    parametrize.remove_parametrizations(model, "weight")
    assert type(model) is nn.Conv2d


def test_training_goes_on_with_the_same_optimizer() -> None:
    x = torch.randn(2, 2, 9, 10).double()

    def train(converted_at: int | None) -> list[float]:
        model = build()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
        losses = []
        for step in range(6):
            if step == converted_at:
                cnnkern.convert(model)
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    assert train(3) == pytest.approx(train(None), rel=1e-9)


def test_copies_pickles_and_states() -> None:
    model, x = cnnkern.convert(build()), torch.randn(2, 2, 9, 10).double()
    model.eval()
    expected = model(x)
    saved = io.BytesIO()
    torch.save(model, saved)
    saved.seek(0)
    twins = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    for twin in (*twins, torch.load(saved, weights_only=False)):
        assert classes(twin) == classes(model)
        assert torch.equal(twin(x), expected)
        assert twin.again is twin.shared
        assert twin.tied.weight is twin.shared[0].weight
    fresh = build().eval()
    fresh.load_state_dict(model.state_dict())
    torch.testing.assert_close(fresh(x), expected, rtol=1e-10, atol=1e-12)
    model.load_state_dict(build().state_dict())


def test_casts_and_moves_go_on() -> None:
    model = cnnkern.convert(nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2)))
    assert model.bfloat16()(torch.randn(1, 2, 6, 6).bfloat16()).dtype == torch.bfloat16
    model.float().to(memory_format=torch.channels_last)
    x = torch.randn(1, 2, 6, 6).to(memory_format=torch.channels_last)
    assert model(x).is_contiguous(memory_format=torch.channels_last)
    assert model.to("meta")(torch.randn(1, 2, 6, 6, device="meta")).shape == (1, 3, 2, 2)


def test_what_refers_to_a_layer_keeps_it() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3))
    layer, forward = model[0], model[0].forward
    cnnkern.convert(model)
    assert model[0] is layer
    assert forward.__self__ is layer
    single = nn.Conv2d(2, 3, 3)
    assert cnnkern.convert(single) is single
    assert isinstance(single, cnnkern.nn.Conv2d)


@pytest.mark.parametrize("function", [cnnkern.convert, cnnkern.revert, cnnkern.coverage])
@pytest.mark.parametrize(
    ("value", "came"),
    [(None, "NoneType"), ([nn.Conv2d(1, 1, 1)], "list"), (nn.Conv2d, "the class Conv2d")],
)
def test_no_module_is_refused(function: Callable[..., Any], value: object, came: str) -> None:
    name = function.__name__
    with pytest.raises(
        TypeError, match=f"^{name}: expected model to be a torch.nn.Module, got {came}$"
    ):
        function(value)


def test_an_error_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(nn.Conv2d):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "__class__":
                raise RuntimeError("not me")
            super().__setattr__(name, value)

    model = nn.Sequential(nn.Conv2d(1, 1, 3), Stubborn(1, 1, 3), nn.Conv2d(1, 1, 3))
    before = classes(model)
    to_ours = {nn.Conv2d: cnnkern.nn.Conv2d, Stubborn: cnnkern.nn.Conv2d}
    conversion = cnnkern.coverage.__globals__["why_not_converted"].__globals__
    monkeypatch.setitem(conversion, "_to_ours", lambda: to_ours)
    monkeypatch.setitem(conversion, "why_not_converted", lambda module: None)
    with pytest.raises(RuntimeError, match="not me"):
        cnnkern.convert(model)
    assert classes(model) == before


def test_compiled_models_are_compiled_again() -> None:
    torch._dynamo.reset()
    graphs: list[set[str]] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append({str(n.target) for n in graph.graph.nodes if n.op == "call_function"})
        return graph

    model, x = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)), torch.randn(1, 1, 8, 8)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    expected = compiled(x)
    assert cnnkern.convert(compiled) is compiled
    torch.testing.assert_close(compiled(x), expected)
    cnnkern.revert(model)
    assert torch.equal(compiled(x), expected)
    ours = {"cnnkern.conv.default", "cnnkern.max_pool.default"}
    assert [ours <= graph for graph in graphs] == [False, True]


@pytest.mark.parametrize("name", [name for name in CONVERTED if name.startswith("Lazy")])
def test_lazy_layers(name: str) -> None:
    rank = int(name[-2])
    model = nn.Sequential(getattr(nn, name)(4, 3), nn.ReLU())
    cnnkern.convert(model)
    assert type(model[0]) is getattr(cnnkern.nn, name)
    twin = copy.deepcopy(model)
    cnnkern.revert(twin)
    assert type(twin[0]) is getattr(nn, name)
    x = torch.randn(2, 2, *(5,) * rank)
    torch.manual_seed(5)
    got = model(x)
    torch.manual_seed(5)
    expected = twin(x)
    # It became what it stands for, with the same weights.
    assert type(model[0]) is getattr(cnnkern.nn, name.removeprefix("Lazy"))
    assert type(twin[0]) is getattr(nn, name.removeprefix("Lazy"))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
