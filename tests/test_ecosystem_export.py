# SPDX-License-Identifier: BSD-3-Clause
"""Converted networks leave Python: torch.export, an AOTInductor package, ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import onnx
import onnx.reference
import pytest
import torch
from support.ecosystem import batch, network
from torch import Tensor, nn

import cnnkern
import cnnkern.onnx
from cnnkern.benchmark.models import load_model

BATCH = torch.export.Dim("batch", min=1, max=64)


def test_resnet50_with_a_dynamic_batch() -> None:
    model, images = load_model("torchvision:resnet50", (2, 3, 32, 32))
    expected = model(images)
    cnnkern.convert(model)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: BATCH},))
    calls = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    assert sum(call.startswith("cnnkern.conv.") for call in calls) == 53
    assert sum(call.startswith("cnnkern.max_pool.") for call in calls) == 1
    assert not [call for call in calls if call.startswith("aten.conv")]
    exported = program.module()
    with torch.no_grad():
        torch.testing.assert_close(exported(images), expected, rtol=1e-3, atol=1e-4)
        for count in (1, 5):
            more = torch.randn(count, 3, 32, 32)
            torch.testing.assert_close(exported(more), model(more), rtol=0, atol=0)


def test_exported_programs_are_saved_and_loaded(tmp_path: Path) -> None:
    model, (images, _) = cnnkern.convert(network()).eval(), batch()
    program = torch.export.export(model, (images,), dynamic_shapes=({0: BATCH},))
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2")
    assert torch.equal(loaded.module()(images), model(images))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_package_of_aotinductor(tmp_path: Path) -> None:
    # Convolutions alone: AOTInductor of torch 2.13 loses the empty lists that pools are given.
    whole, (images, _) = cnnkern.convert(network()), batch()
    model = nn.Sequential(*[m for m in whole[:5] if "Pool" not in type(m).__name__]).eval()
    program = torch.export.export(model, (images,), dynamic_shapes=({0: BATCH},))
    # What surrounds the calls need not be fast here, and takes a minute to be made so.
    path = torch._inductor.aoti_compile_and_package(
        program,
        package_path=str(tmp_path / "model.pt2"),
        inductor_configs={"aot_inductor.compile_wrapper_opt_level": "O0"},
    )
    packaged = torch._inductor.aoti_load_package(path)
    for count in (4, 7):
        images, _ = batch(count)
        with torch.no_grad():
            torch.testing.assert_close(packaged(images), model(images), rtol=1e-5, atol=1e-6)


class Corners(nn.Module):
    """What the small network has not: pairs of padding, ReLU, indices, divisors, other ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = cnnkern.nn.Conv2d(2, 4, 3, 2, "same", activation="relu")
        self.joined = cnnkern.nn.Conv2d(4, 4, 3, padding=1, activation="relu")
        # A group a channel and no bias: of others onnx's own evaluator makes wrong shapes.
        self.grouped = cnnkern.nn.ConvTranspose2d(
            4, 4, 3, 2, 1, output_padding=1, groups=4, bias=False
        )
        self.narrow = cnnkern.nn.ConvTranspose2d(4, 3, 2, dilation=3, padding=((0, 1), (2, 0)))
        self.indices = cnnkern.nn.MaxPool2d(3, 2, 1, ceil_mode=True, return_indices=True)
        self.divided = cnnkern.nn.AvgPool2d(2, divisor_override=3)
        self.counted = cnnkern.nn.AvgPool2d(3, 2, 1)
        self.uncounted = cnnkern.nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.line = cnnkern.nn.Conv1d(12, 3, 3, dilation=2)
        self.volume = cnnkern.nn.MaxPool3d((1, 2, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.strided(x)
        y = self.joined(y, residual=y)
        pools = self.divided(x), self.counted(x), self.uncounted(x), self.volume(x)
        line = self.line(x.flatten(1, 2)[:, :12])
        return *self.indices(x), y, self.grouped(y), self.narrow(y), *pools, line


def _to_onnx(model: nn.Module, images: Tensor, dims: dict[int, Any]) -> Any:
    table = cnnkern.onnx.translation_table()
    program = torch.onnx.export(
        model,
        (images,),
        dynamo=True,
        dynamic_shapes=(dims,),
        custom_translation_table=table,
        verbose=False,
    )
    onnx.checker.check_model(program.model_proto, full_check=True)
    assert {node.domain for node in program.model_proto.graph.node} == {""}
    return program.model_proto


@pytest.mark.parametrize(
    "build", [lambda: cnnkern.convert(network()), Corners], ids=["network", "corners"]
)
def test_onnx_has_its_own_operators_alone(build: Any) -> None:
    model, (images, _) = build().eval(), batch()
    evaluator = onnx.reference.ReferenceEvaluator(_to_onnx(model, images, {0: BATCH}))
    for count in (1, 3):
        images, _ = batch(count)
        expected = model(images)
        expected = expected if isinstance(expected, tuple) else (expected,)
        results = evaluator.run(None, {evaluator.input_names[0]: images.numpy()})
        for result, own in zip(results, expected, strict=True):
            assert result.shape == own.shape
            numpy.testing.assert_allclose(result, own.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_onnx_with_images_of_any_size() -> None:
    model = nn.Sequential(cnnkern.nn.Conv2d(2, 4, 3), cnnkern.nn.MaxPool2d(2)).eval()
    size = {0: BATCH, 2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    evaluator = onnx.reference.ReferenceEvaluator(_to_onnx(model, torch.randn(2, 2, 12, 13), size))
    images = torch.randn(3, 2, 17, 10)
    (result,) = evaluator.run(None, {evaluator.input_names[0]: images.numpy()})
    numpy.testing.assert_allclose(result, model(images).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "dims", "words"),
    [
        (cnnkern.nn.ConvTranspose2d(2, 2, 3), {2: torch.export.Dim.AUTO}, "sizes of its images"),
        (cnnkern.nn.AvgPool2d(3, 2, ceil_mode=True, divisor_override=2), {}, "has no word in ONNX"),
    ],
    ids=["dynamic transposed", "divisor"],
)
def test_onnx_says_what_it_cannot_write(layer: nn.Module, dims: dict[int, Any], words: str) -> None:
    with pytest.raises(torch.onnx.errors.OnnxExporterError) as error:
        _to_onnx(layer.eval(), torch.randn(2, 2, 9, 9), dims)
    causes, cause = [], error.value
    while cause is not None:
        causes.append(str(cause))
        cause = cause.__cause__
    assert any("cnnkern.onnx" in text and words in text for text in causes)
