# SPDX-License-Identifier: BSD-3-Clause
"""Models by name, and what is said of each that cannot be had."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from cnnkern.benchmark.models import _SIZES, load_model
from cnnkern.benchmark.trace import trace

FILE = """\
import torch
from beside import WIDTH

def module():
    return torch.nn.Conv2d(3, WIDTH, 3).double().train()

def pair():
    return torch.nn.Conv1d(2, WIDTH, 3), torch.ones(5, 2, 9)

def text():
    return "resnet"

def pair_of_wrong_kind():
    return torch.nn.ReLU(), (1, 2)

def broken():
    return torch.zeros(2, 3) @ torch.zeros(2, 3)

def leaves():
    raise SystemExit(3)

def by_value():
    class ByValue(torch.nn.Module):
        def forward(self, x):
            return x if float(x.sum()) == float(x.sum()) else None
    return ByValue()

def caches():
    class Caches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.ramp = None
        def forward(self, x):
            self.calls += 1
            if self.ramp is None:
                self.ramp = torch.arange(x.shape[-1], device=x.device)
            return x + self.ramp
    return Caches()

NUMBER = 7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("WIDTH = 4\n")
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    yield path
    sys.modules.pop("beside", None)


def refusal(text: str, size: tuple[int, ...] | None = None) -> str:
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        load_model(text, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_torchvision() -> None:
    model, input = load_model("torchvision:squeezenet1_1")
    assert tuple(input.shape) == (8, 3, 224, 224)
    assert not model.training
    assert len(trace(model.to("meta"), input.to("meta")).layers) == 26 + 3 + 1
    assert load_model("torchvision:resnet18", (2, 3, 32, 40))[1].shape == (2, 3, 32, 40)


def test_sizes_are_of_networks_that_there_are() -> None:
    from torchvision.models import list_models

    assert set(_SIZES) <= set(list_models())


def test_a_network_that_takes_a_video() -> None:
    with torch.device("meta"):
        model, input = load_model("torchvision:r3d_18")
    assert tuple(input.shape) == (8, 3, 16, 112, 112)
    assert trace(model, input).layers[0].problem.op == "conv3d"


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download")

    load_model("torchvision:squeezenet1_1", (1, 3, 64, 64))  # has torchvision imported
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with torch.device("meta"):
        model, _ = load_model("torchvision:lraspp_mobilenet_v3_large", (1, 3, 64, 64))
    assert len(list(model.parameters())) > 100


def test_a_file_of_the_users(file: Path) -> None:
    before = list(sys.path)
    model, input = load_model(f"{file}:module")
    assert (input.shape, input.dtype, model.training) == ((8, 3, 224, 224), torch.float64, True)
    model, input = load_model(f"{file}:pair")
    assert input.equal(torch.ones(5, 2, 9))
    assert load_model(f"{file}:pair", (1, 2, 12))[1].shape == (1, 2, 12)
    assert load_model(f"{file}:by_value", (2, 2))[1].shape == (2, 2)
    assert sys.path == before


def test_a_model_is_left_as_it_was_built(file: Path) -> None:
    model, input = load_model(f"{file}:caches")
    assert (model.calls.item(), model.ramp) == (0, None)
    assert model(input).device.type == "cpu"


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("resnet50", None, "unknown model 'resnet50'; expected torchvision:NAME or FILE.py:FUNC"),
        ("timm:resnet50", None, "unknown model 'timm:resnet50'; expected torchvision:NAME"),
        ("torchvision:resnet5", None, "has no 'resnet5'; did you mean 'resnet50'"),
        ("torchvision:xyzzy", None, "has no 'xyzzy'; it has "),
        ("nowhere/mine.py:build", None, "there is no file 'nowhere/mine.py'"),
        ("{file}:build", None, "has no function 'build'"),
        ("{file}:NUMBER", None, "has no function 'NUMBER'"),
        ("{file}:text", None, "expected a torch.nn.Module, or it and a Tensor, got str"),
        ("{file}:pair_of_wrong_kind", None, "got ReLU, tuple"),
        ("{file}:broken", None, "mine.py:17: RuntimeError: mat1 and mat2"),
        ("{file}:leaves", None, "mine.py:20: SystemExit: 3"),
        (
            "{file}:module",
            (1, 5, 8, 8),
            "the model fails on an input of 1x5x8x8: RuntimeError: Given groups=1",
        ),
        ("{file}:module", (1, 3, 0, 8), "expected input_size of at least 1 along each axis"),
    ],
)
def test_refusals(text: str, size: tuple[int, ...] | None, message: str, file: Path) -> None:
    assert message in refusal(text.format(file=file), size)


def test_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    for source, message in (
        ("import torch\ndef build(:\n", "mine.py:2: SyntaxError"),
        ("\nimport nowhere_to_be_found\n", "mine.py:2: ModuleNotFoundError: No module named"),
    ):
        path.write_text(source)
        assert message in refusal(f"{path}:build")


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "torchvision is not installed: pip install torchvision" in refusal(
        "torchvision:resnet18"
    )
