# SPDX-License-Identifier: BSD-3-Clause
"""The suites: how they are read, that they are what is made, and the numbers that are known."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cnnkern import _C
from cnnkern.benchmark.suites import Layer, read_suite, suite_names, with_batch, with_form

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def make_suites() -> ModuleType:
    path = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    import make_suites

    sys.path[:] = path
    return make_suites


def convs(suite: str) -> list[Layer]:
    return [layer for layer in read_suite(suite) if layer.problem.op.startswith("conv")]


def multiply_adds(layers: list[Layer]) -> float:
    """Of all layers and one image."""
    total = 0
    for layer in layers:
        problem = layer.problem
        per_output = math.prod(problem.weight_size[1:])
        total += layer.count * math.prod(problem.output_size[1:]) * per_output
    return total / 1e9


def test_names() -> None:
    assert suite_names() == [
        "alexnet",
        "audio",
        "convnet_benchmarks",
        "deepbench",
        "densenet121",
        "inception_v3",
        "keras_mnist",
        "lenet5",
        "mobilenet_v2",
        "pooling",
        "resnet50",
        "se_resnet",
        "ssd300",
        "vgg16",
        "yolo_v1",
    ]


def test_the_files_are_what_is_made(make_suites: ModuleType) -> None:
    assert sorted(make_suites.MAKERS) == suite_names()
    assert [path.name for path, _ in make_suites.stale(suite_names())] == []


def test_a_file_that_is_not_what_is_made_is_named(
    make_suites: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(make_suites, "SUITES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_suites.py", "lenet5", "audio"])
    assert make_suites.main() == 0
    monkeypatch.setattr(sys, "argv", ["make_suites.py", "--check", "lenet5", "audio"])
    assert make_suites.main() == 0
    (tmp_path / "audio.txt").write_text("conv1 conv1d 1x1x9 1x1x3\n")
    capsys.readouterr()
    assert make_suites.main() == 1
    assert capsys.readouterr().out == "audio.txt is not what would be made\n"
    assert (tmp_path / "audio.txt").read_text() == "conv1 conv1d 1x1x9 1x1x3\n"


@pytest.mark.parametrize("suite", suite_names())
def test_every_line_is_canonical(suite: str) -> None:
    lines = (BENCHMARKS / "suites" / f"{suite}.txt").read_text().splitlines()
    texts = [re.sub(r" #.*", "", line) for line in lines if not line.startswith("#")]
    layers = read_suite(suite)
    assert texts == [f"{layer.name} {layer.problem}" for layer in layers]
    if suite != "deepbench":
        assert len({str(layer.problem) for layer in layers}) == len(layers)


@pytest.mark.parametrize(
    ("suite", "calls", "distinct", "gigas"),
    [
        ("densenet121", 120, 66, 2.83),
        ("inception_v3", 94, 43, 5.71),
        ("mobilenet_v2", 52, 30, 0.30),
        ("resnet50", 53, 23, 4.09),
        ("ssd300", 23 + 12, 31, None),
        ("se_resnet", 255, 28, None),
        ("vgg16", 13, 9, 15.35),
        ("yolo_v1", 24, 15, 20.07),
    ],
)
def test_convolutions_of_networks(
    suite: str, calls: int, distinct: int, gigas: float | None
) -> None:
    layers = convs(suite)
    assert (sum(layer.count for layer in layers), len(layers)) == (calls, distinct)
    assert all(layer.problem.input_size[0] == 8 for layer in layers)
    if gigas is not None:
        assert round(multiply_adds(layers), 2) == gigas


def test_known_layers() -> None:
    inception = {layer.problem.kernel_size for layer in convs("inception_v3")}
    assert {(1, 7), (7, 1), (1, 3), (3, 1), (5, 5)} <= inception
    depthwise = [la for la in convs("mobilenet_v2") if la.problem.groups > 1]
    assert sum(layer.count for layer in depthwise) == 17
    ssd = {layer.name: layer.problem for layer in read_suite("ssd300")}
    assert ssd["backbone.features.16"].output_size[2:] == (38, 38)  # 75, rounded up
    assert ssd["backbone.extra.0.7.1"].dilation == (6, 6)
    audio = [layer.problem.output_size[2] for layer in read_suite("audio")]
    assert audio == [596, 149, 146, 73, 70, 35, 32]
    alexnet = {layer.name: layer.problem for layer in read_suite("alexnet")}
    assert [alexnet[f"conv{i}g"].groups for i in (2, 4, 5)] == [2, 2, 2]
    assert alexnet["pool3"].output_size == (8, 256, 6, 6)
    last = {layer.name: layer.problem.output_size[2:] for layer in read_suite("lenet5")}
    assert (last["c5"], last["keras4"]) == ((1, 1), (4, 4))


def test_deepbench() -> None:
    layers = read_suite("deepbench")
    assert len(layers) == 94
    assert len({str(layer.problem) for layer in layers}) == 90
    # A table's W and H, R and S are easily taken for each other; the next line's input tells.
    problems = {layer.name: layer.problem for layer in layers}
    assert problems["DeepSpeech1.n4"].weight_size == (32, 1, 5, 20)
    assert problems["DeepSpeech1.n4"].output_size == problems["DeepSpeech2.n4"].input_size
    assert sum(str(layer.problem).split()[0] == "conv2d" for layer in layers) == 94


def test_convnet_benchmarks() -> None:
    layers = {layer.name: layer for layer in read_suite("convnet_benchmarks")}
    assert str(layers["L1"].problem) == "conv2d 128x3x128x128 96x3x11x11 bias"
    assert str(layers["L5"].problem) == "conv2d 128x384x13x13 384x384x3x3 bias"
    sides = {"alexnet.pool3": 6, "overfeat.pool3": 6, "vgg_a.pool5": 7, "googlenet.pool6": 1}
    for name, side in sides.items():
        assert layers[name].problem.output_size[2:] == (side, side)
    vgg = sum(la.count for la in layers.values() if la.name.startswith("vgg_a.conv"))
    assert vgg == 8


def test_pooling_has_every_kind() -> None:
    problems = [layer.problem for layer in read_suite("pooling")]
    assert {problem.op for problem in problems} == {
        *(f"{kind}_pool{rank}d" for kind in ("max", "avg") for rank in (1, 2, 3)),
        "adaptive_avg_pool2d",
    }
    assert any(math.prod(p.output_size[2:]) == 1 for p in problems)
    assert max(max(p.kernel_size) for p in problems if max(p.stride) == 1) >= 31
    assert any(before != after for p in problems for before, after in p.padding)


def test_parameters_of_vgg_a(make_suites: ModuleType) -> None:
    with torch.device("meta"):
        parameters = make_suites.convnet_benchmarks.vgg_a().parameters()
        assert sum(parameter.numel() for parameter in parameters) == 132_863_336


def test_comments_counts_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(
        "# mine\n\na#1 conv2d 1x3x8x8 4x3x3x3 # x3, the stem\n"
        "  b   max_pool2d 1x3x8x8   kernel=2 #4\n # c conv2d\n"
    )
    layers = [Layer("mine", "a#1", _C.parse("conv2d 1x3x8x8 4x3x3x3"), 3)]
    layers.append(Layer("mine", "b", _C.parse("max_pool2d 1x3x8x8 kernel=2"), 1))
    assert read_suite(str(path)) == layers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a conv2d 1x3x8x8 4x3x3x3\na conv2d 1x1x8x8 1x1x1x1", ":2: the name 'a' is there twice"),
        ("\nalone", ":2: expected `name problem`, got 'alone'"),
        ("# nothing", ": expected lines `name problem`, got none"),
        (
            "a conv2d 1x3x8x8 4x3x3x3 strid=2",
            ":1: conv2d: unknown argument 'strid'; did you mean 'stride'? valid: stride, padding, "
            "dilation, groups, bias, relu, tf32, dtype, format\n"
            "  conv2d 1x3x8x8 4x3x3x3 strid=2\n"
            "                         ^",
        ),
    ],
)
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="mine") as caught:
        read_suite(str(path))
    assert str(caught.value) == f"{path}{message}"


def test_unknown_suites(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown suite 'resnet'; did you mean .*'resnet50'"):
        read_suite("resnet")
    with pytest.raises(ValueError, match=r"unknown suite 'xyzzy'; valid: alexnet, .*yolo_v1"):
        read_suite("xyzzy")
    with pytest.raises(ValueError, match=r"suite .*none.txt: cannot read it: No such file"):
        read_suite(str(tmp_path / "none.txt"))
    with pytest.raises(ValueError, match="cannot read it: Is a directory"):
        read_suite(str(tmp_path) + "/")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot read it: 'utf-8' codec"):
        read_suite(str(tmp_path / "binary.txt"))


@pytest.mark.parametrize("suite", suite_names())
def test_other_batches_and_forms(suite: str) -> None:
    for layer in read_suite(suite):
        one = with_batch(layer.problem, 1)
        assert one.input_size == (1, *layer.problem.input_size[1:])
        assert with_batch(one, layer.problem.input_size[0]) == layer.problem
        for format in ("contiguous", "channels_last")[: min(one.rank, 2)]:
            other = with_form(one, "bfloat16", format)
            assert (other.dtype, other.format) == ("bfloat16", format)
            assert with_form(other, "float32", "contiguous") == one


def test_forms_that_there_are_not() -> None:
    conv1d = _C.parse("conv1d 1x3x8 4x3x3")
    with pytest.raises(ValueError, match="conv1d has only the contiguous format"):
        with_form(conv1d, "float32", "channels_last")
    with pytest.raises(ValueError, match="int8"):
        with_form(conv1d, "int8", "contiguous")
    with pytest.raises(ValueError, match="expected a batch of at least 0, got -1"):
        with_batch(conv1d, -1)
