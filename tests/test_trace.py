# SPDX-License-Identifier: BSD-3-Clause
"""What a trace sees of a model: each kind of call, the names, the numbers of known networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as TF
from torch import Tensor, nn

import cnnkern
from cnnkern.benchmark.trace import distinct, trace


def traced(model: nn.Module, *inputs: Tensor) -> list[tuple[str, str]]:
    return [(layer.name, str(layer.problem)) for layer in trace(model, *inputs).layers]


class Block(nn.Module):
    """Modules and functional calls, one of each used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(TF.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True))
        x = self.conv(TF.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return TF.avg_pool2d(x, (1, 2), divisor_override=3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), dilation=(1, 2))
        self.body = nn.Sequential(Block(), nn.ReLU(), nn.BatchNorm2d(8))
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, output_padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.up(self.body(self.stem(x)))
        return TF.conv2d(y, y.new_ones(2, 6, 1, 1))


NET = [
    ("stem", "conv2d 2x3x33x32 8x3x3x5 stride=2,1 dilation=1,2 bias"),
    ("body.0.max_pool2d", "max_pool2d 2x8x16x24 kernel=3 stride=2 padding=1 ceil"),
    ("body.0.conv", "conv2d 2x8x9x13 8x4x3x3 padding=1"),
    (
        "body.0.avg_pool2d",
        "avg_pool2d 2x8x9x13 kernel=3 stride=1 padding=1 count_include_pad=false",
    ),
    ("body.0.conv#2", "conv2d 2x8x9x13 8x4x3x3 padding=1"),
    ("body.0.avg_pool2d#2", "avg_pool2d 2x8x9x13 kernel=1,2 divisor=3"),
    ("up", "conv_transpose2d 2x8x9x6 8x3x3x3 stride=2 output_padding=1 groups=2 bias"),
    ("conv2d", "conv2d 2x6x20x14 2x6x1x1"),
]


def canonical(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, str(cnnkern._C.parse(text))) for name, text in lines]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_modules_and_functionals(device: str, mode: type) -> None:
    model, x = Net().to(device), torch.zeros(2, 3, 33, 32, device=device)
    for training in (True, False):
        with mode():
            assert traced(model.train(training), x) == canonical(NET)
    assert not any(module._forward_hooks for module in model.modules())


def test_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert traced(Net(), torch.zeros(2, 3, 33, 32)) == canonical(NET)


def test_dtype_and_format_are_those_of_the_call() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1))
    x = torch.zeros(1, 4, 10, 10)
    form = " dtype=bfloat16 format=channels_last"
    last = model.to(torch.bfloat16).to(memory_format=torch.channels_last)
    expected = [
        ("0", "conv2d 1x4x10x10 8x4x3x3 bias"),
        ("1", "max_pool2d 1x8x8x8 kernel=2"),
        ("2", "conv2d 1x8x4x4 4x8x1x1 bias"),
    ]
    y = x.to(torch.bfloat16).to(memory_format=torch.channels_last)
    assert traced(last, y) == [(name, text + form) for name, text in expected]
    with torch.autocast("cpu", torch.bfloat16):
        assert traced(model.float(), x)[0] == ("0", expected[0][1] + " dtype=bfloat16")


@pytest.mark.parametrize("layers", [nn, cnnkern.nn], ids=["torch", "cnnkern"])
@pytest.mark.parametrize("grad", [False, True])
def test_every_rank(layers, grad: bool) -> None:
    sizes = (9, 10, 11)
    for rank in (1, 2, 3):
        model = nn.Sequential(
            getattr(layers, f"Conv{rank}d")(4, 6, 3, padding=1, groups=2),
            getattr(layers, f"MaxPool{rank}d")(3, 2, padding=1, dilation=1, ceil_mode=True),
            getattr(layers, f"ConvTranspose{rank}d")(6, 4, 2, 2, output_padding=1, dilation=2),
            getattr(layers, f"AvgPool{rank}d")(2, 1, padding=1),
        )
        x = torch.zeros(2, 4, *sizes[:rank], requires_grad=grad)
        size = "x".join(map(str, sizes[:rank]))
        half = "x".join(str(n // 2 + 1) for n in sizes[:rank])
        # An output_padding has more than one way to be written, here that of the layers.
        up = "x".join(str(2 * (n // 2) + 4) for n in sizes[:rank])
        ones = "x".join("1" * rank).replace("1", "{}")
        three, two = (ones.format(*[k] * rank) for k in (3, 2))
        with torch.set_grad_enabled(grad):
            seen = traced(model, x)
            alone = traced(model, x[0])
        assert seen == canonical(
            [
                ("0", f"conv{rank}d 2x4x{size} 6x2x{three} padding=1 bias"),
                ("1", f"max_pool{rank}d 2x6x{size} kernel=3 stride=2 padding=1 ceil"),
                (
                    "2",
                    f"conv_transpose{rank}d 2x6x{half} 6x4x{two} stride=2 dilation=2 "
                    "output_padding=1 bias",
                ),
                ("3", f"avg_pool{rank}d 2x4x{up} kernel=2 stride=1 padding=1"),
            ]
        )
        assert alone == [(name, text.replace(" 2x", " 1x", 1)) for name, text in seen]


def test_what_only_cnnkern_has() -> None:
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            w = torch.zeros(4, 4, 3, 3)
            x = cnnkern.functional.conv2d(
                x, w, padding=((1, 2), (0, 1)), stride=2, activation="relu"
            )
            return cnnkern.functional.max_pool2d(x, 2, padding="same")

    assert traced(Own(), torch.zeros(1, 4, 8, 8)) == canonical(
        [
            ("conv2d", "conv2d 1x4x8x8 4x4x3x3 stride=2 padding=1:2,0:1 relu"),
            ("max_pool2d", "max_pool2d 1x4x5x4 kernel=2 padding=0:1,0"),
        ]
    )


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_padding_by_name_and_by_mode() -> None:
    for mode in ("zeros", "circular"):
        layer = nn.Conv2d(2, 2, 4, padding="same", padding_mode=mode)
        output = layer(torch.zeros(1, 2, 8, 8))
        [(name, text)] = traced(layer, torch.zeros(1, 2, 8, 8))
        problem = cnnkern._C.parse(text)
        assert (name, problem.output_size) == ("conv2d", tuple(output.shape))


def test_what_is_no_problem_is_counted() -> None:
    class Others(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            TF.adaptive_avg_pool2d(x.to(torch.complex64).to("meta"), 1)
            TF.fractional_max_pool2d(x, 2, output_size=3)
            TF.conv2d(x.int().to("meta"), x.int().to("meta"))
            TF.avg_pool2d(x.long(), 2)
            x.mean((2, 3), keepdim=True)
            return TF.conv2d(x, x[:1])

    for mode in (torch.enable_grad, torch.inference_mode):
        with mode():
            seen = trace(Others(), torch.zeros(1, 2, 8, 8))
        assert [layer.name for layer in seen.layers] == ["conv2d"]
        assert seen.skipped == {
            "adaptive_avg_pool2d of complex64": 1,
            "fractional_max_pool2d": 1,
            "conv2d of int32": 1,
            "avg_pool2d of int64": 1,
        }


def test_adaptive_pools_of_torch_and_of_cnnkern() -> None:
    class Adaptive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.AdaptiveMaxPool2d((None, 3), return_indices=True)
            self.own = cnnkern.nn.AdaptiveAvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            TF.adaptive_avg_pool2d(x, 1)
            self.layer(x)
            self.own(x)
            TF.adaptive_max_pool1d(x[0, :, :, 0], output_size=2)
            return TF.adaptive_avg_pool3d(x, (1, 2, 3))

    expected = [
        ("adaptive_avg_pool2d", "adaptive_avg_pool2d 2x3x8x7 output=1"),
        ("layer", "adaptive_max_pool2d 2x3x8x7 output=8,3"),
        ("own", "adaptive_avg_pool2d 2x3x8x7 output=2"),
        ("adaptive_max_pool1d", "adaptive_max_pool1d 1x3x8 output=2"),
        ("adaptive_avg_pool3d", "adaptive_avg_pool3d 1x2x3x8x7 output=1,2,3"),
    ]

    for mode in (torch.enable_grad, torch.inference_mode):
        with mode():
            seen = trace(Adaptive(), torch.zeros(2, 3, 8, 7))
        assert [(layer.name, str(layer.problem)) for layer in seen.layers] == expected
        assert seen.skipped == {}


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_model_that_torch_jit_traced() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    x = torch.zeros(1, 3, 8, 8)
    seen = traced(torch.jit.trace(model, x), x)
    assert [text for _, text in seen] == [text for _, text in traced(model, x)]


def test_a_model_that_raises_leaves_no_hooks() -> None:
    model = Net()
    with pytest.raises(RuntimeError, match="expected input"):
        trace(model, torch.zeros(1, 4, 8, 8))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert traced(model, torch.zeros(2, 3, 33, 32)) == canonical(NET)


def test_distinct_keeps_order_and_counts() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1))
    seen = trace(model, torch.zeros(1, 2, 4, 4), suite="mine").layers
    assert [(layer.suite, layer.name, layer.count) for layer in distinct(seen)] == [
        ("mine", "0", 2),
        ("mine", "1", 1),
    ]
    assert [layer.count for layer in distinct(distinct(seen) + distinct(seen))] == [4, 2]
