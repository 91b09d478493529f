# SPDX-License-Identifier: BSD-3-Clause
"""What convert and revert leave as it is, and what coverage says of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnkern


class Scaled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


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


def test_coverage_counts_places_of_shared_layers() -> None:
    block = nn.Sequential(nn.Conv2d(1, 1, 1), nn.AvgPool2d(3, 1, 1))
    model = nn.Sequential(nn.Conv2d(1, 1, 3), block, block, nn.Sequential(block), block[0])
    cnnkern.convert(block)
    found = cnnkern.coverage(model)
    assert {row.name: row.places for row in found.layers} == {"0": 1, "1.0": 4, "1.1": 3}
    assert found.counts == {"cnnkern": 2, "torch": 1, "kept": 0}
    assert str(found).splitlines() == [
        "name  layer                 places  runs on",
        "0     torch.nn.Conv2d       1       torch, can be converted",
        "1.0   cnnkern.nn.Conv2d     4       cnnkern",
        "1.1   cnnkern.nn.AvgPool2d  3       cnnkern",
        "",
        "3 convolution or pooling layers: 2 on cnnkern, 1 on torch that can be converted.",
    ]
    # A module that holds its own parent is walked once.
    block.parent = model  # type: ignore[assignment]
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
