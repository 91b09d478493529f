# SPDX-License-Identifier: BSD-3-Clause
"""``cnnkern explain``: one table of all devices, or a device in detail; bad input is one line."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import cnnkern
from cnnkern import _C
from cnnkern.cli.main import main
from cnnkern.device_table import explain_devices

DENSE = "conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1"
DEVICES = ["cpu", "H200", "H100", "A100", "L4", "RTX 4090"]
ISA = _C.info()["isa"]


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["explain", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


@pytest.mark.parametrize(
    "text",
    [
        DENSE,
        "conv2d 8x64x56x56 64x1x3x3 padding=1 dtype=float16",
        "conv_transpose2d 8x64x28x28 64x32x2x2 stride=2",
        "avg_pool3d 1x4x8x8x8 kernel=2",
    ],
)
def test_the_table_has_the_plans_of_every_device(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = explained(capsys, *text.split())
    problem = _C.parse(text)
    assert lines[0] == text
    head = lines[3]
    starts = [head.index(name) for name in ("direction", "device", "algorithm", "workspace")]
    rows = lines[4 : 4 + len(DEVICES) * len(problem.directions())]
    cells = [tuple(row[a:b].strip() for a, b in pairwise(starts)) for row in rows]
    assert cells == [
        (
            direction if device == "cpu" else "",
            ISA if device == "cpu" else device,
            _C.plan(problem, direction, device=device).algorithm,
        )
        for direction in problem.directions()
        for device in DEVICES
    ]
    assert max(map(len, lines[:-2])) < 120


def test_who_would_serve_as_well_stands_beside(capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(capsys, DENSE)
    row = next(line for line in lines if line.startswith("forward"))
    assert " direct (" in row or " im2col (" in row
    assert "depthwise (" not in "\n".join(lines)


def test_equal_refusals_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(capsys, DENSE)
    assert lines[lines.index("not by") + 1].split(maxsplit=2) == [
        "depthwise",
        "anywhere",
        "C/groups is 64, needs 1; C = 64, groups = 1",
    ]
    grouped = explained(capsys, "conv2d 8x128x56x56 128x4x3x3 stride=2")
    refusal = "each of 32 groups is a matrix product, needs at most 16; C = 128, groups = 32"
    assert ["im2col", "GPUs", refusal] in [line.split(maxsplit=2) for line in grouped]
    assert "not by" not in explained(capsys, "max_pool2d 1x1x4x4 kernel=2")


def test_refusals_of_some_directions_name_them() -> None:
    text = "conv2d 1x4096x64x64 8x4096x64x64"
    lines = str(explain_devices(text)).splitlines()
    reason = _C.plan(_C.parse(text), "forward").refused
    assert "one output reads 64 MiB" in dict(reason)["direct"]
    row = next(line for line in lines if "one output reads 64 MiB" in line)
    assert row.split()[:2] == ["direct", ISA]
    assert "(forward" in row


@pytest.mark.parametrize("name", ["h200", "H200", "rtx-4090", "Rtx 4090", "a100", "l4", "CPU"])
def test_names_of_devices_in_any_case(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(capsys, DENSE, "--device", name)
    plain = name.lower().replace("-", " ").replace("cpu", ISA)
    assert f"nominal rates, {plain} with " in lines[-1].lower()
    assert "forward not by" in lines


def test_one_argument_or_many_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, DENSE) == explained(capsys, *DENSE.split())


def test_in_python_an_explanation_is_of_one_device() -> None:
    assert str(cnnkern.explain(DENSE)) == str(cnnkern.explain(DENSE, device="cpu"))
    assert str(cnnkern.explain(DENSE)).splitlines()[-1].startswith("Predictions are of nominal")


def test_the_bad_field_is_pointed_at(capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(capsys, "conv2d 8x64x56x56 128x64x3x3 strid=2")
    assert lines == [
        "cnnkern explain: conv2d: unknown argument 'strid'; did you mean 'stride'? valid: stride, "
        "padding, dilation, groups, bias, relu, tf32, dtype, format",
        "  conv2d 8x64x56x56 128x64x3x3 strid=2",
        "                               ^",
    ]


def test_an_unknown_device_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, DENSE, "--device", "h20") == [
        "cnnkern explain: device: expected cpu, H200, H100, A100, L4 or RTX 4090, got 'h20'; did "
        "you mean 'H200'?"
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, DENSE, "--device", "cuda") == [
        "cnnkern explain: --device cuda: torch finds no GPU here; expected cpu or a GPU by its "
        "name: H200, H100, A100, L4, RTX 4090"
    ]
