# SPDX-License-Identifier: BSD-3-Clause
"""The networks of the examples: their sizes, and that converted they are as right as torch's."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

import cnnkern
from cnnkern.testing.truth import one_thread
from examples.networks import lenet5, vgg
from examples.networks.catalogue import NETWORKS, Network
from examples.networks.compare import (
    Judged,
    Truth,
    count_layers,
    faults,
    in_format,
    prepare,
)
from examples.networks.decisions import Followed, Recorded

# What comes out of two inputs of full size; of the others, a number for each of 1000 classes.
OUTPUTS = {
    "lenet5": [(2, 10)],
    "lenet5_plain": [(2, 10)],
    "lenet5_keras": [(2, 10)],
    "keras_mnist": [(2, 10)],
    "keras_mnist_no_pools": [(2, 64, 22, 22)],
    "yolo_v1": [(2, 7, 7, 30)],
    "ssd300": [(2, 8732, 4), (2, 8732, 91)],
    "faster_rcnn": [(2, 18, 37, 62), (2, 36, 37, 62), (8, 512, 7, 7)],
    "r3d_18": [(2, 400)],
    "audio": [(2, 40)],
    "encoder_decoder": [(2, 4, 64, 64)],
    "facial_keypoints": [(2, 30)],
}


def numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def swappable(model: nn.Module) -> int:
    """The layers of torch's own classes for which cnnkern has one of that name."""
    torchs = [getattr(nn, name) for name in cnnkern.nn.__all__ if hasattr(nn, name)]
    return sum(is_of(module, torchs) for module in model.modules())


def is_of(module: nn.Module, classes: list[type]) -> bool:
    kind = type(module)
    if nn.utils.parametrize.is_parametrized(module):
        kind = kind.__base__
    return kind in classes


def swapped(model: nn.Module) -> int:
    ours = [getattr(cnnkern.nn, name) for name in cnnkern.nn.__all__]
    return sum(is_of(module, ours) for module in model.modules())


@pytest.fixture(scope="module", params=NETWORKS)
def on_meta(request: pytest.FixtureRequest) -> tuple[Network, nn.Module]:
    network = NETWORKS[request.param]
    with torch.device("meta"):
        return network, network.build().eval()


def test_parameters(on_meta: tuple[Network, nn.Module]) -> None:
    network, model = on_meta
    assert numbers(model) == network.parameters


def test_outputs(on_meta: tuple[Network, nn.Module]) -> None:
    network, model = on_meta
    images, *others = network.inputs(network.size, 2)
    with torch.no_grad():
        outputs = pytree.tree_leaves(model(images.to("meta"), *others))
    expected = OUTPUTS.get(network.name, [(2, 1000)])
    assert [tuple(output.shape) for output in outputs] == expected


def test_every_layer_of_torchs_classes_is_swapped(on_meta: tuple[Network, nn.Module]) -> None:
    model = copy.deepcopy(on_meta[1])
    expected = swappable(model)
    assert expected >= 3
    assert swapped(cnnkern.convert(model)) == expected
    assert swappable(model) == 0


def test_parameters_of_layers() -> None:
    net = lenet5.paper()
    counts = {name: numbers(layer) for name, layer in net.named_children() if numbers(layer)}
    assert list(counts) == ["c1", "s2", "c3", "s4", "c5", "f6"]
    assert list(counts.values()) == [156, 12, 1_516, 32, 48_120, 10_164]
    assert numbers(nn.Conv2d(6, 16, 5)) == 2_416
    with torch.device("meta"):
        yolo = NETWORKS["yolo_v1"].build()
        convolutions = [layer for layer in yolo if isinstance(layer, nn.Conv2d)]
        assert len(convolutions) == 24
        assert sum(map(numbers, convolutions)) == 60_155_968
        layers = {letter: vgg.vgg(letter) for letter in vgg.BLOCKS}
    weighted = (nn.Conv2d, nn.Linear)
    assert [sum(isinstance(m, weighted) for m in net) for net in layers.values()] == [
        *(11, 13, 16, 16, 19)
    ]
    assert [net.conv5_3.kernel_size for net in (layers["C"], layers["D"])] == [(1, 1), (3, 3)]


def test_lenet5_has_the_papers_links() -> None:
    c3 = cnnkern.convert(lenet5.paper()).c3
    seen = c3.weight.abs().sum((2, 3)) > 0
    assert int(seen.sum()) == 60
    assert ["".join(str(c) for c in row.nonzero().flatten().tolist()) for row in seen] == list(
        lenet5.LINKS
    )
    c3(torch.ones(1, 6, 5, 5)).sum().backward()
    assert [p.grad.shape for p in c3.parameters()] == [(16,), (60, 5, 5)]


def test_faster_rcnn_pools_the_cells_of_a_region() -> None:
    network = NETWORKS["faster_rcnn"]
    model = cnnkern.convert(vgg.FasterRCNN(thin=16)).eval()
    images, regions = network.inputs(network.size, 2)
    assert regions[5].tolist() == [1, 100, 120, 699, 539]
    with torch.no_grad():
        found = model(images, regions)
        maps = model.trunk(images)
    # Pixels 100 to 699 and 120 to 539 are cells 6 to 44 and 8 to 34.
    crop = maps[1, :, 8:35, 6:45]
    assert found.regions[5, :, 0, 0].equal(
        crop[:, : math.ceil(27 / 7), : math.ceil(39 / 7)].amax((1, 2))
    )
    assert found.regions[0].amax((1, 2)).equal(maps[0].amax((1, 2)))


def against_torch(
    model: nn.Module, inputs: list[Tensor], name: str, convert=cnnkern.convert
) -> list[str]:
    """What is wrong with the converted model, in both formats; prints the errors in torch's."""
    truth, wrong = Truth(model, inputs), []
    for channels_last in (False, True)[: 1 + (inputs[0].dim() > 3)]:
        laid_out, values = in_format(model, inputs, channels_last)
        torchs = truth.judge(laid_out, values)
        expected = swappable(laid_out)
        report = cnnkern.override()
        ours = truth.judge(convert(laid_out), values, within=report)
        assert swapped(laid_out) == expected
        overridden = sum(calls.served for calls in report.calls.values())
        units = " ".join(
            f"{what} {own.over(theirs).maximum:.2f} ({own.over(theirs).rms:.2f})"
            for what, own, theirs in zip(Judged._fields, ours[:2], torchs[:2], strict=False)
        )
        format = "channels_last" if channels_last else "contiguous"
        counts = f"{expected} layers swapped, {overridden} calls overridden"
        print(f"{name}, {format}: {units} of torch's error, {counts}")
        wrong += [f"{format}: {fault}" for fault in faults(ours, torchs, count_layers(model))]
    return wrong


@pytest.mark.parametrize("name", NETWORKS)
def test_converted_is_as_right_as_torch(name: str) -> None:
    network = NETWORKS[name]
    small = network.small
    with one_thread():
        calibration = network.inputs(small.size, 4, seed=1)
        model = prepare(small.build(), calibration, heads=name == "googlenet")
        assert against_torch(model, network.inputs(small.size, 2), name) == []


def test_with_batch_normalisations_in_training() -> None:
    network = NETWORKS["mobilenet_v2"]
    with one_thread():
        model = prepare(network.build(), network.inputs((3, 64, 64), 4, seed=1))
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        assert len(norms) == 52
        for norm in norms:
            norm.train()
        assert against_torch(model, network.inputs((3, 64, 64), 4), "training") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inception_v3", {"avg_pool2d": 9, "max_pool2d": 2}),
        ("r3d_18", {"conv3d": 16}),  # of torchvision's own subclass, which is left as it is
    ],
)
def test_calls_that_only_an_override_reaches(name: str, expected: dict[str, int]) -> None:
    network = NETWORKS[name]
    with torch.device("meta"), torch.no_grad():
        model = cnnkern.convert(network.build().eval())
        with cnnkern.override() as report:
            model(torch.empty(2, *network.small.size))
    assert {name: report.calls[name].served for name in expected} == expected
    assert not any(report.calls[name].refused for name in expected)


def half_precision(model: nn.Module) -> None:
    model.conv2.register_forward_hook(lambda layer, inputs, y: y.half().float())


def gradient_off(model: nn.Module) -> None:
    model.conv2.register_full_backward_hook(
        lambda layer, grads, _: tuple(g * (1 + 1e-4) for g in grads)
    )


def minimum(model: nn.Module) -> None:
    model.pool2.forward = lambda x: -cnnkern.functional.max_pool2d(-x, 2)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (half_precision, ["outputs: maximum", "outputs: rms", "gradients: maximum"]),
        (gradient_off, ["gradients: maximum", "gradients: rms"]),
        (minimum, ["a decision is off by"]),
    ],
)
def test_a_planted_fault_is_found(fault, found: list[str]) -> None:
    network = NETWORKS["keras_mnist"]
    inputs = network.inputs(network.size, 2)

    def convert(model: nn.Module) -> nn.Module:
        cnnkern.convert(model)
        fault(model)
        return model

    wrong = against_torch(prepare(network.build(), inputs), inputs, fault.__name__, convert)
    for format in ("contiguous", "channels_last"):
        said = [text for text in wrong if text.startswith(format)]
        assert len(said) >= len(found)
        for text in found:
            assert any(text in line for line in said), said


KINKED = [
    (lambda of, x: of.relu(x), (2, 30)),
    (lambda of, x: of.relu(x, inplace=True), (2, 30)),
    (lambda of, x: of.leaky_relu(x), (2, 30)),
    (lambda of, x: of.relu6(4 * x + 3), (2, 30)),
    (lambda of, x: of.leaky_relu(x, 0.1, inplace=True), (2, 30)),
    (lambda of, x: of.hardtanh_(x), (2, 30)),
    (lambda of, x: of.relu6(4 * x + 3, inplace=True), (2, 30)),
]
POOLS = {
    "max_pool1d": (lambda of, x: of.max_pool1d(x, 3, 2), (2, 3, 9)),
    "max_pool2d": (lambda of, x: of.max_pool2d(x, 3, 2, 1, ceil_mode=True), (2, 3, 9, 8)),
    "max_pool3d": (lambda of, x: of.max_pool3d(x, 2), (2, 3, 4, 6, 8)),
    "adaptive_max_pool2d": (lambda of, x: of.adaptive_max_pool2d(x, 3), (2, 3, 7, 8)),
    "adaptive_max_pool3d": (lambda of, x: of.adaptive_max_pool3d(x, 2), (2, 3, 5, 4, 3)),
}


@pytest.mark.parametrize(
    ("of", "function", "size"),
    [
        *((F, *case) for case in [*KINKED, *POOLS.values()]),
        *(
            (cnnkern.functional, *POOLS[name])
            for name in POOLS
            if name in cnnkern.functional.__all__
        ),
    ],
)
def test_a_pass_decides_as_another_did(of, function, size: tuple[int, ...]) -> None:
    """The gradient of what is linear in pieces is then that at the other pass's input."""
    first, second = (torch.randn(size, dtype=torch.float64).requires_grad_() for _ in range(2))
    grad = torch.randn_like(function(F, first.detach().clone()))
    recorded = Recorded()
    with recorded:
        function(of, 1 * first).backward(grad)
    followed = Followed(recorded)
    with followed:
        function(F, 1 * second).backward(grad)
    assert second.grad.equal(first.grad)
    assert followed.overruled > 0
    assert 0.01 < followed.margin <= 2
