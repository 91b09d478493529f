# SPDX-License-Identifier: BSD-3-Clause
"""What fuse does not fuse, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import cnnkern


def conv() -> nn.Conv2d:
    return nn.Conv2d(2, 2, 3, padding=1)


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda *_: None)
    return layer


def with_(layer: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


class Applied(nn.Module):
    """A convolution with a function of it and of its output."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.relu, self.function = conv(), nn.ReLU(), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Scaled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Odd(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return -super().forward(input)


def tied() -> nn.Module:
    model = nn.Sequential(conv(), nn.BatchNorm2d(2), conv())
    model[2].weight = model[0].weight
    return model


def chain(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


def applied(function: Callable[[Any, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Applied(function)


RELU6 = "ReLU6 1 is no BatchNorm, addition, ReLU or MaxPool2d"
# The model, and of its first convolution what was done and why not more.
CASES: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "nothing": (chain(conv(), nn.Flatten()), "", "nothing follows that it could do, too"),
    "relu6": (chain(conv(), nn.ReLU6()), "", RELU6),
    "function": (applied(lambda m, x: F.gelu(m.conv(x))), "", "gelu is no BatchNorm"),
    "method": (applied(lambda m, x: m.conv(x).sigmoid()), "", "sigmoid is no BatchNorm"),
    "group norm": (chain(conv(), nn.GroupNorm(1, 2)), "", "GroupNorm 1 is no BatchNorm"),
    "average": (
        chain(conv(), nn.ReLU(), nn.AvgPool2d(2)),
        "ReLU 1 fused",
        "AvgPool2d 2 is no BatchNorm, addition, ReLU or MaxPool2d",
    ),
    "two users": (
        applied(lambda m, x: (y := m.conv(x)) + F.relu(y)),
        "",
        "its result goes to 2 places, not only relu",
    ),
    "in place, then used": (
        applied(lambda m, x: (y := m.conv(x), y.relu_(), y)[2] + 1),
        "",
        "its result goes to 2 places, not only relu_",
    ),
    "twice": (applied(lambda m, x: F.relu(m.conv(m.conv(x)))), "", "is called 2 times"),
    "weight read": (
        applied(lambda m, x: F.relu(m.conv(x)) + m.conv.weight.sum()),
        "",
        "its parameters are used by themselves, too",
    ),
    "by keyword": (
        applied(lambda m, x: torch.relu(input=m.conv(x))),
        "",
        "relu takes it in an unusual way",
    ),
    "functional": (
        applied(lambda m, x: F.relu(F.conv2d(x, torch.ones(2, 2, 3, 3)))),
        "",
        "calls the function conv2d",
    ),
    "hooks on the convolution": (chain(hooked(conv()), nn.ReLU()), "", "has hooks"),
    "hooks on the ReLU": (chain(conv(), hooked(nn.ReLU())), "", "ReLU 1 has hooks"),
    "hooks around": (
        lambda: nn.Sequential(hooked(nn.Sequential(conv(), nn.ReLU()))),
        "",
        "has hooks and is called as a whole: Sequential",
    ),
    "forward": (
        chain(conv(), with_(nn.ReLU(), forward=torch.sin)),
        "",
        "ReLU 1 forward was replaced on the layer itself",
    ),
    "subclass": (chain(Scaled(2, 2, 3), nn.ReLU()), "", "is a subclass of torch.nn.Conv2d"),
    "subclass of ReLU": (
        chain(conv(), Odd()),
        "",
        "Odd 1 is of a class that may compute something else",
    ),
    "block": (
        chain(cnnkern.nn.ConvBlock2d(2, 2, 3), nn.ReLU()),
        "",
        "is a block already",
    ),
    "activation": (
        chain(cnnkern.nn.Conv2d(2, 2, 3, activation="relu"), nn.BatchNorm2d(2)),
        "",
        "BatchNorm2d 1 stands after a ReLU",
    ),
    "after the pool": (
        chain(conv(), nn.MaxPool2d(2), nn.BatchNorm2d(2)),
        "MaxPool2d 1 fused",
        "BatchNorm2d 2 stands after a pool",
    ),
    "second ReLU": (chain(conv(), nn.ReLU(), nn.ReLU()), "ReLU 1 fused", "ReLU 2 is a second one"),
    "second pool": (
        chain(conv(), nn.MaxPool2d(2), nn.MaxPool2d(2)),
        "MaxPool2d 1 fused",
        "MaxPool2d 2 is a second one",
    ),
    "changed": (
        chain(conv(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(inplace=True)),
        "ReLU 1 fused",
        "MaxPool2d 2 makes what is changed in place later",
    ),
    "added to": (
        applied(lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2).view(-1).add_(1)),
        "relu fused",
        "max_pool2d makes what is changed in place later",
    ),
    "transposed": (
        chain(nn.ConvTranspose2d(2, 2, 3), nn.ReLU(), nn.MaxPool2d(2)),
        "ReLU 1 fused",
        "MaxPool2d 2 is fused after Conv2d only",
    ),
    "indices": (
        applied(lambda m, x: F.max_pool2d(F.relu(m.conv(x)), 2, return_indices=True)[0]),
        "relu fused",
        "max_pool2d_with_indices is no BatchNorm",
    ),
    "pool of indices": (
        lambda: nn.Sequential(conv(), nn.MaxPool2d(2, return_indices=True)),
        "",
        "MaxPool2d 1 returns indices, too",
    ),
    "computed": (
        applied(lambda m, x: F.max_pool2d(m.conv(x), (x.shape[2], 1))),
        "",
        "max_pool2d has arguments that are computed",
    ),
    "parametrized": (
        chain(parametrizations.weight_norm(conv()), nn.BatchNorm2d(2)),
        "",
        "BatchNorm2d 1 stays: the convolution is parametrized",
    ),
    "tied": (tied, "", "BatchNorm2d 1 stays: the convolution's weight is another layer's, too"),
    "statistics": (
        chain(conv(), nn.BatchNorm2d(2, track_running_stats=False)),
        "",
        "BatchNorm2d 1 has no running statistics",
    ),
    "dtype": (
        chain(conv().bfloat16(), nn.BatchNorm2d(2)),
        "",
        "BatchNorm2d 1 is float32 where the convolution is bfloat16",
    ),
    "device": (
        chain(conv(), nn.BatchNorm2d(2, device="meta")),
        "",
        "BatchNorm2d 1 is on meta, the convolution on cpu",
    ),
    "features": (
        chain(conv(), nn.BatchNorm2d(4)),
        "",
        "BatchNorm2d 1 has 4 features for 2 channels",
    ),
    "axes": (chain(conv(), nn.BatchNorm3d(2)), "", "BatchNorm3d 1 takes no output of 2 axes"),
    "lazy norm": (chain(conv(), nn.LazyBatchNorm2d()), "", "LazyBatchNorm2d 1 is not initialised"),
    "lazy": (chain(nn.LazyConv2d(2, 3), nn.ReLU()), "", "is not initialised yet: call the model"),
    "complex": (
        chain(nn.Conv2d(2, 2, 3, dtype=torch.complex64), nn.ReLU()),
        "",
        "weight is complex64; served are",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_reasons(case: str) -> None:
    build, done, reason = CASES[case]
    fused = cnnkern.fuse(build().eval())
    row = cnnkern.coverage(fused).fusions[0]
    assert row.done == done
    assert reason in row.reason
    assert row.text in str(cnnkern.coverage(fused))
    assert row.text == (f"{done}; {row.reason}" if done else f"nothing: {row.reason}")


UNCHANGED = ["relu6", "two users", "in place, then used", "twice", "weight read", "indices", "tied"]


@pytest.mark.parametrize("case", [*UNCHANGED, "hooks on the ReLU", "hooks around", "subclass"])
def test_what_is_not_fused_computes_as_before(case: str) -> None:
    model = CASES[case][0]().eval()
    x = torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(cnnkern.fuse(model)(x), model(x))


@pytest.mark.parametrize("case", ["changed", "added to", "after the pool"])
def test_gradients_where_results_are_changed(case: str) -> None:
    model = CASES[case][0]().double().eval()
    fused, x = cnnkern.fuse(model), torch.randn(1, 2, 6, 6).double()
    got, expected = (
        torch.autograd.grad(network(x).square().sum(), network.get_parameter(name))
        for network, name in ((fused, fused_weight(fused)), (model, fused_weight(model)))
    )
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-11)


def fused_weight(model: nn.Module) -> str:
    """The name of the first convolution's weight."""
    return next(name for name, _ in model.named_parameters() if name.endswith("weight"))


def test_modes_of_the_two() -> None:
    model = nn.Sequential(conv(), nn.BatchNorm2d(2).eval())
    (row,) = cnnkern.coverage(cnnkern.fuse(model)).fusions
    assert row.reason == "BatchNorm2d 1 stays: the convolution is in train mode"
    model.eval()[1].train()
    (row,) = cnnkern.coverage(cnnkern.fuse(model)).fusions
    assert row.reason == "BatchNorm2d 1 is in train mode"


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_untraceable_models_say_where() -> None:
    model = nn.Sequential(conv(), nn.Sequential(nn.ReLU(), Branching()))
    before = [(type(m), dict(m.__dict__)) for m in model.modules()]
    with pytest.raises(
        RuntimeError,
        match=r"^fuse: cannot trace 1\.1 \(Branching\) at .*test_fuse_reasons\.py:\d+: TraceError: "
        "symbolically traced variables cannot be used as inputs to control flow$",
    ):
        cnnkern.fuse(model)
    assert [(type(m), dict(m.__dict__)) for m in model.modules()] == before
    with pytest.raises(RuntimeError, match=r"^fuse: cannot trace the model \(Branching\) at .*"):
        cnnkern.fuse(Branching())
    with pytest.raises(RuntimeError, match=r"the model \(Sequential\): its forward was replaced"):
        cnnkern.fuse(with_(nn.Sequential(conv()), forward=torch.sin))


@pytest.mark.parametrize("model", [None, nn.Conv2d, torch.relu])
def test_needs_a_module(model: Any) -> None:
    with pytest.raises(TypeError, match=r"^fuse: expected model to be a torch\.nn\.Module, got "):
        cnnkern.fuse(model)
