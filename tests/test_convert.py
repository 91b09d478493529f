# SPDX-License-Identifier: BSD-3-Clause
"""convert, revert and coverage: layers change their class, and everything around them stays."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
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


class Scaled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


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


def replaced() -> nn.Module:
    layer = nn.Conv2d(1, 1, 3)
    layer.forward = lambda input: input  # type: ignore[method-assign]
    return layer


def prepared() -> nn.Module:
    layer = nn.Conv2d(1, 1, 3)
    layer.qconfig = "any"  # type: ignore[assignment]
    return layer


class Sharded(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nobody may compute with it")


def of_another_tensor() -> nn.Module:
    layer = nn.Conv2d(1, 1, 3)
    odd = torch.Tensor._make_subclass(Sharded, torch.zeros(1, 1, 3, 3), True)
    layer._parameters["weight"] = odd  # type: ignore[assignment]
    return layer


def fully_sharded() -> nn.Module:
    class FSDPModule:
        pass

    layer = nn.Conv2d(1, 1, 3)
    layer.__class__ = type("FSDPConv2d", (FSDPModule, nn.Conv2d), {})
    return layer


QAT = torch.ao.quantization.get_default_qat_qconfig()
KEPT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "subclass": (lambda: Scaled(1, 1, 3), "is a subclass of torch.nn.Conv2d"),
    "forward": (replaced, "forward was replaced on the layer itself"),
    "qat": (lambda: torch.ao.nn.qat.Conv2d(1, 1, 3, qconfig=QAT), "is a subclass of torch.nn"),
    "qat, fused": (
        lambda: torch.ao.nn.intrinsic.qat.ConvBn2d(1, 1, 3, qconfig=QAT),
        "is a subclass of torch.nn.Conv2d",
    ),
    "quantized": (lambda: torch.ao.nn.quantized.Conv2d(1, 1, 3), "is quantized"),
    "qconfig": (prepared, "is prepared for quantization"),
    "scripted": (lambda: torch.jit.script(nn.Conv2d(1, 1, 3)), "is compiled by TorchScript"),
    "sharded": (fully_sharded, "is sharded by fully_shard already: convert first"),
    "complex": (
        lambda: nn.Conv2d(1, 1, 3, dtype=torch.complex64),
        "weight is complex64; served are float32, float64, float16, bfloat16",
    ),
    "float8": (lambda: nn.Conv2d(1, 1, 3).to(torch.float8_e5m2), "weight is float8_e5m2"),
    "tensor subclass": (of_another_tensor, "weight is a Sharded, no plain tensor"),
    "no namesake": (
        lambda: nn.FractionalMaxPool2d(2, output_ratio=0.5),
        "cnnkern has no FractionalMaxPool2d",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", KEPT)
def test_kept_layers_are_reported(case: str) -> None:
    make, reason = KEPT[case]
    kept = make()
    model = nn.Sequential(nn.Conv2d(1, 1, 3), kept)
    before = type(kept)
    for _ in range(2):
        cnnkern.convert(model)
        assert type(model[1]) is before
    first, row = cnnkern.coverage(model).layers
    assert (first.name, first.layer, first.state) == ("0", "cnnkern.nn.Conv2d", "cnnkern")
    assert (row.name, row.state) == ("1", "kept")
    assert row.reason.startswith(reason)
    assert f"kept: {reason}" in str(cnnkern.coverage(model))
    cnnkern.revert(model)
    assert type(model[1]) is before


def test_parameters_of_an_own_class_are_plain() -> None:
    class Tagged(nn.Parameter):
        tag = "of the user"

    layer = nn.Conv2d(1, 1, 3)
    layer.weight = Tagged(layer.weight.detach())
    cnnkern.convert(layer)
    assert type(layer) is cnnkern.nn.Conv2d
    assert type(layer.weight) is Tagged


STAY: list[tuple[nn.Module, str]] = [
    (cnnkern.nn.Conv2d(1, 1, 3, activation="relu"), "torch fuses no activation"),
    (cnnkern.nn.Conv2d(1, 1, 3, padding=((1, 0), (0, 0))), "torch pads both sides alike"),
    (cnnkern.nn.Conv2d(1, 1, 3, padding="same", stride=2), 'torch has no padding "same" with a'),
    (cnnkern.nn.MaxPool2d(3, padding="same"), "torch's pools take no padding by name"),
    (cnnkern.nn.AvgPool1d(3, padding=((0, 1),)), "torch pads both sides alike"),
    (cnnkern.nn.ConvTranspose1d(1, 1, 3, padding=[(0, 1)]), "torch pads both sides alike"),
]


@pytest.mark.parametrize(("layer", "reason"), STAY, ids=str)
def test_revert_keeps_what_torch_has_not(layer: nn.Module, reason: str) -> None:
    before = dict(layer.__dict__)
    assert cnnkern.revert(layer) is layer
    assert type(layer).__module__.startswith("cnnkern.")
    assert layer.__dict__ == before
    (row,) = cnnkern.coverage(layer).layers
    assert row.state == "cnnkern"
    assert f"cnnkern (revert keeps it: {reason}" in row.text


def test_revert_drops_the_algorithm_with_a_warning() -> None:
    model = nn.Sequential(cnnkern.nn.Conv2d(1, 1, 3, algorithm="im2col"), nn.Conv2d(1, 1, 1))
    assert "revert drops algorithm='im2col'" in str(cnnkern.coverage(model))
    with pytest.warns(UserWarning, match=r"torch has not, 0: algorithm='im2col'"):
        cnnkern.revert(model)
    assert type(model[0]) is nn.Conv2d
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cnnkern.revert(cnnkern.convert(model))
    assert cnnkern.nn.Conv2d.algorithm == "auto"
    assert cnnkern.convert(model)[0].algorithm == "auto"


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


def test_coverage_counts_places_of_shared_layers() -> None:
    model = build()
    found = cnnkern.coverage(model)
    assert {row.name: row.places for row in found.layers if row.places > 1} == {
        "shared.0": 2,
        "shared.1": 2,
    }
    assert found.counts == {"cnnkern": 0, "torch": 9, "kept": 0}
    assert str(found).endswith(
        "9 convolution or pooling layers: 0 on cnnkern, 9 on torch that can be converted."
    )
    lines = str(found).splitlines()
    assert lines[0].split() == ["name", "layer", "places", "runs", "on"]
    assert lines[1].split() == [
        "stem.0",
        "torch.nn.Conv2d",
        "1",
        "torch,",
        "can",
        "be",
        "converted",
    ]
    assert len({line.find("torch.nn.") for line in lines[1:10]}) == 1
    # A module that holds its own parent is walked once.
    model.stem.parent = model  # type: ignore[assignment]
    assert cnnkern.coverage(model).layers == found.layers


def test_coverage_of_nothing_and_of_one() -> None:
    assert str(cnnkern.coverage(nn.ReLU())) == "The model has no convolution or pooling layers."
    text = str(cnnkern.coverage(cnnkern.nn.MaxPool2d(2)))
    assert "(the model)" in text
    assert text.endswith("1 convolution or pooling layer: 1 on cnnkern.")


def test_coverage_shows_what_was_fused() -> None:
    graph = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()))
    graph.meta["cnnkern_fusions"] = [("0", "ReLU", ""), ("1", "", "has two users")]
    found = cnnkern.coverage(nn.Sequential(graph))
    assert [(f.name, f.done, f.reason) for f in found.fusions] == [
        ("0.0", "ReLU", ""),
        ("0.1", "", "has two users"),
    ]
    assert str(found).splitlines()[-3:] == [
        "fused at  what",
        "0.0       ReLU",
        "0.1       nothing: has two users",
    ]
