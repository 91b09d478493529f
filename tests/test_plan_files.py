# SPDX-License-Identifier: BSD-3-Clause
"""Plan files as users meet them: loaded, obeyed, explained; a bad one stops what would need it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import cnnkern
from cnnkern import _C
from cnnkern.cli.main import main

TEXT = "conv2d 2x8x9x9 8x8x3x3"
GPU_TEXT = "conv2d 8x128x56x56 128x4x3x3 padding=1"
ISA = _C.info()["isa"]


@pytest.fixture(autouse=True)
def _no_plans_after() -> Iterator[None]:
    yield
    cnnkern.load_plans(None)


def written(folder: Path, *lines: str, device: str = ISA) -> Path:
    path = folder / "plans.txt"
    path.write_text("\n".join([f"device {device}", *lines]) + "\n")
    return path


def planned(text: str, direction: str = "forward", **words: str) -> tuple[str, str, str]:
    plan = _C.plan(_C.parse(text), direction, **words)
    return plan.algorithm, plan.file, plan.otherwise


def test_a_file_is_in_force_from_load_to_load(tmp_path: Path) -> None:
    assert _C.plan_file() is None
    assert planned(TEXT) == ("direct", "", "")
    path = written(tmp_path, f"{TEXT} -> forward im2col")
    cnnkern.load_plans(path)
    assert _C.plan_file() == {"path": str(path), "plans": {ISA: 1}}
    assert planned(TEXT) == ("im2col", f"{path}:2", "direct")
    assert planned(f"{TEXT} bias relu") == ("im2col", f"{path}:2", "direct")
    assert planned(TEXT, "input_grad") == ("direct", "", "")
    assert planned(TEXT, algorithm="direct") == ("direct", "", "")
    assert planned(f"{TEXT} stride=2") == ("direct", "", "")
    assert planned(TEXT, device="H200")[1] == ""
    cnnkern.load_plans(None)
    assert planned(TEXT) == ("direct", "", "")


def test_other_sections_are_for_other_devices(tmp_path: Path) -> None:
    usual = planned(GPU_TEXT, device="A100")[0]
    path = tmp_path / "plans.txt"
    path.write_text(
        f"device L4\n{GPU_TEXT} -> weight_grad direct\ndevice SomeGPU 9\n{GPU_TEXT} -> forward "
        f"depthwise\ndevice a-100\n{TEXT} -> forward im2col, weight_grad direct"
    )
    cnnkern.load_plans(path)
    assert _C.plan_file()["plans"] == {"L4": 1, "SomeGPU 9": 1, "a-100": 2}
    assert planned(TEXT, device="A100")[:2] == ("im2col", f"{path}:6")
    assert planned(GPU_TEXT, "weight_grad", device="L4")[1] == f"{path}:2"
    assert planned(GPU_TEXT, device="A100") == (usual, "", "")


def test_pools_have_plans_too(tmp_path: Path) -> None:
    pool = "max_pool2d 1x2x8x8 kernel=2"
    path = written(tmp_path, f"{pool} -> forward direct")
    cnnkern.load_plans(path)
    assert planned(pool) == ("direct", f"{path}:2", "direct")


LOGGED = """
import sys, torch, cnnkern
from cnnkern import functional as F
x, w = torch.ones(2, 8, 9, 9, requires_grad=True), torch.ones(8, 8, 3, 3, requires_grad=True)
b = torch.ones(8)
F.conv2d(x, w).sum().backward()
for path in sys.argv[1:]:
    cnnkern.load_plans(path or None)
    F.conv2d(x, w, b, activation="relu")
F.conv_transpose2d(x, w)
"""


def run_python(code: str, plans: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "CNNKERN_LOG": "plan", "CNNKERN_PLANS": str(plans)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_runs_follows_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"{TEXT} -> forward im2col, weight_grad im2col",
        "conv_transpose2d 2x8x9x9 8x8x3x3 -> forward im2col",
    )
    errors = run_python(LOGGED, path, "", str(path)).stderr.splitlines()
    lines = [line for line in errors if line.startswith("cnnkern plan: ")]
    found = [
        (*line.split(": ")[2].split(",")[0].split(" -> "), line.partition(", named by ")[2])
        for line in lines
    ]
    assert found == [
        ("forward", "im2col", f"{path}:2"),
        ("input_grad", "direct", ""),
        ("weight_grad", "im2col", f"{path}:2"),
        ("forward", "direct", ""),  # without plans
        ("forward", "im2col", f"{path}:2"),  # with them again
        # What a transposed convolution is: the input gradient of one with the same weight.
        ("input_grad", "im2col", f"{path}:3"),
    ]


def test_a_transposed_convolution_has_its_convolutions_plan() -> None:
    transposed = _C.parse("conv_transpose2d 2x8x7x7 8x8x3x3 bias relu")
    assert _C.plan_key(transposed, "forward") == f"{TEXT} -> input_grad"
    assert _C.plan_key(transposed, "weight_grad") == f"{TEXT} -> weight_grad"


def test_results_are_those_of_the_named_algorithm(tmp_path: Path) -> None:
    x, w = torch.randn(2, 8, 9, 9), torch.randn(8, 8, 3, 3)
    conv2d = cnnkern.functional.conv2d
    cnnkern.load_plans(written(tmp_path, f"{TEXT} -> forward im2col"))
    assert torch.equal(conv2d(x, w), conv2d(x, w, algorithm="im2col"))


def test_loads_while_others_compute(tmp_path: Path) -> None:
    path = written(tmp_path, f"{TEXT} -> forward im2col")
    x, w = torch.randn(2, 8, 9, 9), torch.randn(8, 8, 3, 3)
    expected = torch.nn.functional.conv2d(x, w)
    failures: list[str] = []
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            y = cnnkern.functional.conv2d(x, w)
            if not torch.allclose(y, expected, atol=1e-4):
                failures.append("a wrong result")

    threads = [threading.Thread(target=compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(50):
        cnnkern.load_plans(path if i % 2 else None)
        if planned(TEXT)[0] != ("im2col" if i % 2 else "direct"):
            failures.append("an old plan")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("conv2d 1x1x3x3 1x1x1x1 strid=2 -> forward direct", "did you mean 'stride'?"),
        (f"{TEXT} -> fward direct", "expected a direction, got 'fward'; did you mean 'forward'?"),
        (f"{TEXT} -> forward dirct", "expected an algorithm, got 'dirct'; did you mean 'direct'?"),
        (f"{TEXT} -> forward depthwise", "depthwise does not serve this forward: C/groups is 8"),
        (f"{TEXT}", "expected -> and algorithms by direction"),
        (f"{TEXT} -> forward direct, forward im2col", "forward of this problem has its plan in"),
    ],
)
def test_a_bad_line_is_one_message(tmp_path: Path, line: str, message: str) -> None:
    good = written(tmp_path, f"{TEXT} -> forward im2col")
    cnnkern.load_plans(good)
    path = tmp_path / "bad.txt"
    path.write_text(f"# mine\ndevice {ISA}\r\n\r\n{line}")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        cnnkern.load_plans(path)
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"{path}:4: ")
    assert message in first
    assert line.startswith(shown.strip())
    assert caret.strip() == "^"
    assert planned(TEXT)[0] == "im2col"  # those in force stay


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ValueError, match=f"^plan file '{path}' cannot be read: {reason}"):
            cnnkern.load_plans(path)


BAD = """
import torch, cnnkern
from cnnkern.cli.main import main
x, w = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1)
text = "conv2d 1x1x3x3 1x1x1x1"
for call in (lambda: cnnkern.functional.conv2d(x, w),) * 2 + (lambda: cnnkern.explain(text),):
    try:
        call()
    except RuntimeError as error:
        print(str(error).splitlines()[0])
print(main(["info"]))
cnnkern.load_plans(None)
print(cnnkern.functional.conv2d(x, w).sum().item())
"""


def test_a_bad_file_of_the_environment_fails_what_would_plan(tmp_path: Path) -> None:
    path = tmp_path / "plans.txt"
    path.write_text(f"device {ISA}\n{TEXT} -> forward dirct")
    done = run_python(BAD, path)
    refusal = f"{path}:2: expected an algorithm, got 'dirct'; did you mean 'direct'?"
    *refused, code, computed = done.stdout.splitlines()
    assert [line.partition(" valid")[0] for line in refused] == [refusal] * 3, done.stderr
    assert (code, computed) == ("2", "9.0")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("cnnkern plan")]
    assert lines[0].startswith(f"cnnkern info: CNNKERN_PLANS: {refusal}")
    assert [line.strip() for line in lines[1:]] == [f"{TEXT} -> forward dirct", "^"]


def test_the_explanation_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, f"{TEXT} -> forward im2col")
    cnnkern.load_plans(path)
    text = str(cnnkern.explain(TEXT))
    assert f"\nforward: im2col by the plan file, {path}:2; without it direct\n" in text
    assert f"{path}:2 names im2col" in text
    assert main(["explain", TEXT]) == 0
    line = f"forward on {ISA}: im2col by the plan file, {path}:2; without it direct"
    assert line in capsys.readouterr().out.splitlines()
