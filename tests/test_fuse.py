# SPDX-License-Identifier: BSD-3-Clause
"""fuse: the fused network computes what the model does, which stays as it was."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cnnkern
from cnnkern.benchmark.models import load_model
from tests.support.peak import allocated

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def settle(model: nn.Module) -> nn.Module:
    """Statistics and affine parameters as after a training, then evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (module.running_mean, -1, 1),
                (module.running_var, 0.5, 2),
                (module.weight, -1.5, 1.5),
                (module.bias, -1, 1),
            ):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)
    return model.eval()


def done(fused: nn.Module) -> list[str]:
    return [row.done for row in cnnkern.coverage(fused).fusions]


def run(model: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """The output, and the gradients of the inputs."""
    inputs = tuple(x.clone().requires_grad_() for x in inputs)
    y = model(*inputs)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), inputs)]


def assert_close(fused: nn.Module, model: nn.Module, *inputs: Tensor) -> None:
    for got, expected in zip(run(fused, *inputs), run(model, *inputs), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", [f"Conv{t}{r}d" for t in ("", "Transpose") for r in (1, 2, 3)])
def test_batch_norm_folds(name: str, groups: int, affine: bool, bias: bool) -> None:
    rank = int(name[-2])
    conv = getattr(nn, name)(4, 6, 3, stride=2, padding=1, groups=groups, bias=bias)
    model = settle(nn.Sequential(conv, NORMS[rank](6, affine=affine, eps=0.1)).double())
    fused = cnnkern.fuse(model)
    assert len(list(fused.children())) == 1
    assert type(fused.get_submodule("0")) is getattr(cnnkern.nn, name)
    assert_close(fused, model, torch.randn(2, 4, *[5] * rank).double())


def test_parametrized_synchronized_frozen_channels_last() -> None:
    model = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect").requires_grad_(False),
        nn.SyncBatchNorm(4).requires_grad_(False),
        nn.ReLU(),
    )
    model = settle(model).double().to(memory_format=torch.channels_last)
    fused = cnnkern.fuse(model)
    assert done(fused) == [
        "ReLU 1 fused, MaxPool2d 2 fused",
        "SyncBatchNorm 4 folded, ReLU 5 fused",
    ]
    x = torch.randn(2, 3, 9, 9).double().to(memory_format=torch.channels_last)
    assert_close(fused, model, x)
    weight, old = fused.get_parameter("3.weight"), model.get_parameter("3.weight")
    assert weight.stride() == old.stride()
    trained = {name for name, parameter in fused.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, p in model.named_parameters() if p.requires_grad}
    # The parametrization is still at work, on the model's own tensors.
    originals = [name for name in trained if "original" in name]
    assert len(originals) == 2
    assert all(fused.get_parameter(n) is model.get_parameter(n) for n in originals)


def test_fused_networks_hold_less() -> None:
    model = nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    fused, x = cnnkern.fuse(model), torch.randn(8, 4, 128, 128)
    (most, kept), (torchs_most, torchs_kept) = (allocated(lambda n=n: n(x)) for n in (fused, model))
    assert 2 * most < torchs_most
    assert 2 * kept < torchs_kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folding_follows_the_error_rule(dtype: torch.dtype) -> None:
    model = settle(nn.Sequential(nn.Conv2d(16, 24, 3), nn.BatchNorm2d(24))).to(dtype)
    x = torch.randn(2, 16, 9, 9).to(dtype)
    fused, exact = cnnkern.fuse(model), copy.deepcopy(model).double()
    weight, bias = fused.get_submodule("0").parameters()
    assert weight.dtype == bias.dtype == dtype
    # Rounding the folded weights is an error of the size of the products' own.
    with torch.no_grad():
        truth, got, torchs = exact(x.double()), fused(x), model(x)
        magnitude = F.conv2d(x.double().abs(), weight.double().abs(), bias.double().abs())
    roundoff = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}[dtype]
    error = (got.double() - truth).abs()
    assert (error <= 2 * (torchs.double() - truth).abs().max() + roundoff * magnitude).all()


class Forms(nn.Module):
    """Each way to write a ReLU and a pool, seven convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(7))
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        c = self.convs
        x = self.pool(self.relu(c[0](x)))
        x = F.max_pool2d(F.relu(c[1](x), inplace=True), 2, stride=1)
        x = F.relu(torch.max_pool2d(c[2](x), 3, 1, 1, 2))
        x = cnnkern.functional.max_pool2d(c[3](x).relu_(), 3, 2, ceil_mode=True)
        x = torch.relu(c[4](x))
        x = self.pool(c[5](x))
        return c[6](x).relu() + 1


@pytest.mark.parametrize("converted", [False, True])
def test_every_form_of_relu_and_pool(converted: bool) -> None:
    model, x = Forms().double(), torch.randn(2, 3, 12, 13).double()
    twin = copy.deepcopy(model)
    if converted:
        cnnkern.convert(model)
    fused = cnnkern.fuse(model)
    assert done(fused) == [
        "ReLU relu fused, MaxPool2d pool fused",
        "relu fused, max_pool2d fused",
        "max_pool2d fused, relu fused",
        "relu_ fused, max_pool2d fused",
        "relu fused",
        "MaxPool2d pool fused",
        "relu fused",
    ]
    blocks = [
        isinstance(m, cnnkern.nn.ConvBlock2d) for m in fused.get_submodule("convs").children()
    ]
    assert blocks == [True, True, True, True, False, True, False]
    assert_close(fused, twin, x)
    for network in (fused, twin):
        network.zero_grad()
        network(x).square().sum().backward()
    for got, expected in zip(model.parameters(), twin.parameters(), strict=True):
        # Shared with what was fused.
        torch.testing.assert_close(got.grad, expected.grad, rtol=1e-10, atol=1e-11)
    assert [key for key, _ in fused.named_parameters()] == [
        key for key, _ in twin.named_parameters()
    ]


def test_in_train_mode_batch_norm_stays() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU()
    ).double()
    fused, twin = cnnkern.fuse(model), copy.deepcopy(model)
    rows = cnnkern.coverage(fused).fusions
    assert [(r.done, r.reason) for r in rows] == [
        ("ReLU 1 fused", ""),
        ("", "BatchNorm2d 3 is in train mode"),
    ]
    assert fused.training
    assert_close(fused, twin, torch.randn(4, 2, 8, 8).double())
    # The statistics are the model's own.
    assert torch.equal(model.get_submodule("3").running_mean, twin.get_submodule("3").running_mean)


@pytest.mark.parametrize(
    ("name", "size", "folds", "additions", "relus", "pools", "without"),
    [
        ("resnet50", 64, 53, 16, 49, 1, {"add": 4, "AdaptiveAvgPool2d": 1}),
        ("mobilenet_v2", 64, 52, 10, 0, 0, {"ReLU6": 35}),
        ("vgg16", 32, 0, 0, 13, 5, {"AdaptiveAvgPool2d": 1}),
        ("googlenet", 64, 57, 0, 57, 2, {}),
        ("inception_v3", 80, 94, 0, 94, 2, {}),
    ],
)
def test_networks(
    name: str,
    size: int,
    folds: int,
    additions: int,
    relus: int,
    pools: int,
    without: dict[str, int],
) -> None:
    model, x = load_model(f"torchvision:{name}", (1, 3, size, size))
    fused = cnnkern.fuse(model)
    parts = [part for row in done(fused) for part in row.split(", ")]
    starts = "BatchNorm2d", "add", ("ReLU", "relu"), "MaxPool2d"
    counts = tuple(sum(part.startswith(start) for part in parts) for start in starts)
    assert counts == (folds, additions, relus, pools)
    reasons = [row.reason.split()[0] for row in cnnkern.coverage(fused).fusions if row.reason]
    assert {reason: reasons.count(reason) for reason in reasons} == without
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fused.modules())
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(x.double())
        torchs, got = model(x), fused(x)
        largest = (got - exact).abs().max()
    # Two orders of the same sums: no further off than a few of torch's own errors.
    assert largest <= 4 * (torchs - exact).abs().max()
    assert largest <= 1e-5 * exact.abs().max()


def test_the_model_is_left_as_it_was() -> None:
    model = settle(
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.ReLU())
    )
    parts = list(model.modules())
    before = [(type(m), dict(m.__dict__), dict(m._parameters)) for m in parts]
    values = {key: value.clone() for key, value in model.state_dict().items()}
    fused = cnnkern.fuse(model)
    cnnkern.convert(fused).train()
    assert all(a is b for a, b in zip(model.modules(), parts, strict=True))
    for module, (cls, attributes, parameters) in zip(parts, before, strict=True):
        assert type(module) is cls
        assert module.__dict__ == attributes
        assert all(module._parameters[key] is value for key, value in parameters.items())
    assert all(torch.equal(value, values[key]) for key, value in model.state_dict().items())
    # Parameters that nothing was folded into are the model's.
    assert fused.get_parameter("2.weight") is model.get_parameter("2.weight")
    assert fused.get_parameter("0.weight") is not model.get_parameter("0.weight")


class Argued(nn.Module):
    """With arguments that change what is done, and tensors of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.register_buffer("kept", torch.ones(2, 1, 1))
        self.register_buffer("passing", torch.ones(2, 1, 1), persistent=False)
        self.plain = torch.ones(1)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float = 2.0) -> Tensor:
        x = F.relu(self.conv(x)) * self.kept + self.passing + self.plain
        return scale * (x if mask is None else x * mask)


def test_arguments_state_and_hooks_of_the_model() -> None:
    model, x, seen = Argued(), torch.randn(1, 2, 5, 5), []
    model.register_forward_hook(lambda *_: seen.append("after"))
    fused = cnnkern.fuse(model)
    assert seen == []
    assert list(fused.state_dict()) == ["kept", "conv.weight", "conv.bias"]
    for arguments in ({}, {"mask": None}, {"mask": None, "scale": 2.0}):
        torch.testing.assert_close(fused(x, **arguments), model(x, **arguments))
    assert len(seen) == 6
    with pytest.raises(AssertionError, match="mask has been specialized to have value None"):
        fused(x, mask=x)


def test_copies_pickles_and_fusing_again() -> None:
    model = settle(Forms().double())
    fused, x = cnnkern.fuse(model), torch.randn(1, 3, 12, 12).double()
    assert done(copy.deepcopy(fused)) == done(fused)
    torch.testing.assert_close(copy.deepcopy(fused)(x), fused(x), rtol=0, atol=0)
    torch.testing.assert_close(pickle.loads(pickle.dumps(fused))(x), fused(x), rtol=0, atol=0)
    again = cnnkern.fuse(fused)
    assert not any(done(again))
    torch.testing.assert_close(again(x), fused(x), rtol=0, atol=0)
    inside = nn.Sequential(fused)
    assert cnnkern.coverage(inside).fusions[0].name == "0.convs.0"


def test_a_single_layer() -> None:
    layer, x = nn.Conv2d(1, 2, 3).eval(), torch.randn(1, 1, 5, 5)
    fused = cnnkern.fuse(layer)
    assert torch.equal(fused(x), layer(x))
    assert list(fused.state_dict()) == ["0.weight", "0.bias"]


def test_compiles_and_exports_with_dynamic_shapes() -> None:
    model = settle(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)))
    fused = cnnkern.fuse(nn.Sequential(model, nn.Conv2d(4, 3, 1), nn.ReLU())).eval()
    inputs = [torch.randn(n, 2, h, 9) for n, h in ((2, 10), (3, 12), (5, 16))]
    batch, height = torch.export.Dim("batch", min=2), torch.export.Dim("height", min=8)
    program = torch.export.export(fused, (inputs[0],), dynamic_shapes=({0: batch, 2: height},))
    compiled: Any = torch.compile(fused, backend="aot_eager", fullgraph=True, dynamic=True)
    with torch.no_grad():
        for x in inputs:
            expected = fused(x)
            torch.testing.assert_close(program.module()(x), expected, rtol=0, atol=0)
            torch.testing.assert_close(compiled(x), expected, rtol=0, atol=0)
    names = {str(node.target) for node in program.graph.nodes}
    assert {"cnnkern.conv_block.default"} <= names
