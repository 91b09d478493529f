# SPDX-License-Identifier: BSD-3-Clause
"""``cnnkern info``: what stands there is asked, not remembered."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import cnnkern
from cnnkern import _C
from cnnkern.cli.main import main

ROOT = Path(__file__).resolve().parent.parent


def info(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["info", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_json_is_one_object_for_a_bug_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNKERN_LOG", "plan")
    facts = json.loads(info(capsys, "--json"))
    assert list(facts) == [
        "cnnkern",
        "build",
        "cpu",
        "gpus",
        "torch",
        "python",
        "plan_file",
        "environment",
        "packages",
        "algorithms",
    ]
    assert facts["cnnkern"]["version"] == cnnkern.__version__
    assert facts["torch"]["version"] == torch.__version__
    assert facts["cpu"]["instruction_set"] in facts["cpu"]["instruction_sets"]
    assert facts["cpu"]["threads"] == torch.get_num_threads()
    assert facts["environment"]["CNNKERN_LOG"] == "plan"
    assert facts["plan_file"] is None
    assert re.match(r"\d", facts["packages"]["numpy"])
    if not torch.cuda.is_available():
        assert facts["gpus"] == []


def test_architectures_are_those_that_nvcc_is_asked_for() -> None:
    asked = re.findall(r",code=\[?([\w,]+)", (ROOT / "setup.py").read_text())
    names = {name for part in asked for name in part.split(",")}
    assert names >= {"sm_80", "sm_90a"}
    facts = _C.info()
    if facts["cuda"]:
        assert set(facts["cuda_architectures"]) == names
        assert re.fullmatch(r"\d+\.\d+", facts["cuda_runtime"])
    else:
        assert "cuda_architectures" not in facts


def test_algorithms_are_what_plans_say(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(info(capsys, "--json"))["algorithms"]
    by_cpu = {
        (r["operator"], r["algorithm"]): r["directions"] for r in rows if r["device"] == "cpu"
    }
    assert set(by_cpu) == {
        *(
            (op, name)
            for op in ("conv", "conv_transpose")
            for name in ("direct", "depthwise", "im2col", "winograd")
        ),
        ("max_pool", "direct"),
        ("avg_pool", "direct"),
    }
    problem = "conv2d 2x8x9x9 8x1x3x3 dtype=bfloat16"
    for direction in by_cpu["conv", "depthwise"]["bfloat16"]:
        assert _C.plan(_C.parse(problem), direction, "depthwise").algorithm == "depthwise"
    assert by_cpu["max_pool", "direct"]["float16"] == ["forward", "input_grad"]
    assert any(row["device"] == "cuda" for row in rows) == _C.info()["cuda"]


def test_text_has_a_section_for_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "plans.txt"
    path.write_text("device L4\nconv2d 1x1x3x3 1x1x1x1 -> forward direct\n")
    cnnkern.load_plans(path)
    try:
        text = info(capsys)
    finally:
        cnnkern.load_plans(None)
    for title in ("cnnkern", "build", "cpu", "torch", "python", "plan file", "packages"):
        assert re.search(rf"^{title}$", text, re.MULTILINE), title
    assert re.search(rf"^  path +{re.escape(str(path))}\n  plans for L4 +1$", text, re.MULTILINE)
    assert re.search(r"^  cpu +max_pool +direct +every dtype +forward, input_grad$", text, re.M)
    assert not re.search(r" $", text, re.MULTILINE)


def test_what_is_missing_is_said_to_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnkern.cli.info.PACKAGES", ("numpy", "no-such-package"))
    assert json.loads(info(capsys, "--json"))["packages"]["no-such-package"] is None
    assert re.search(r"no-such-package +none", info(capsys))
