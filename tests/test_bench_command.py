# SPDX-License-Identifier: BSD-3-Clause
"""``cnnkern bench`` as its user sees it: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnkern.benchmark.measure import Bench
from cnnkern.benchmark.results import read_result
from cnnkern.cli.main import main

PROBLEM = "conv2d 1x4x9x9 4x4x3x3 padding=1"
FAST = ["bench", "--seconds", "0.001", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured once a run, and takes longer than the rest of these tests."""
    limits = {"flops": dict.fromkeys(("float32", "bfloat16"), 1e11), "copy": [[1e6, 1e10]]}
    monkeypatch.setattr("cnnkern.cli.bench.measure_limits", lambda *_: limits)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    try:
        code = main(["bench", *arguments])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    return captured.err


def test_tables_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"--json": "r.json", "--csv": "r.csv", "--html": "r.html", "--plot": "pictures"}
    outputs = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    code = main([
        *FAST, "--problem", PROBLEM, "--problem", "max_pool2d 1x4x8x8 kernel=2", *outputs,
        "--direction", "forward,input_grad", "--format", "all", "--algorithm", "all",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    for words in (
        "conv2d 1x4x9x9",
        "im2col",
        "direct",
        "channels_last",
        "Limits measured",
        "passed",
    ):
        assert words in printed
    result = read_result(tmp_path / "r.json")
    assert result.complete
    assert len(result.rows) == 2 * (2 * 3 + 3)
    assert {"device", "isa", "torch", "commit", "date", "cpu_flags", "before", "after"} <= set(
        result.machine
    )
    assert result.settings["seed"] == 0
    assert (tmp_path / "r.csv").read_text().count("\n") == len(result.rows) + 1
    assert "<html" in (tmp_path / "r.html").read_text()
    assert {"roofline.png", "ratios.png"} <= {p.name for p in (tmp_path / "pictures").iterdir()}


def test_folder_gets_a_file_for_each_suite(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(f"# two lines\none {PROBLEM}\n")
    folder = tmp_path / "results"
    folder.mkdir()
    code = main([*FAST, "--suite", str(tmp_path / "mine.txt"), "--problem", PROBLEM,
                 "--json", str(folder), "--direction", "forward"])  # fmt: skip
    assert code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["mine.json", "problems.json"]


def test_model_is_traced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\ndef build():\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3)), torch.zeros(1, 2, 8, 8)\n"
    )
    assert main([*FAST, "--model", f"{tmp_path}/net.py:build", "--direction", "forward"]) == 0
    assert "build" in capsys.readouterr().out


def test_quick_takes_some_of_each_suite(tmp_path: Path) -> None:
    lines = [f"n{i} conv2d 64x1x{9 + i}x9 1x1x3x3" for i in range(20)]
    (tmp_path / "mine.txt").write_text("\n".join(lines))
    out = tmp_path / "r.json"
    assert main([*FAST, "--quick", "--suite", f"{tmp_path}/mine.txt", "--json", str(out)]) == 0
    rows = read_result(out).rows
    assert [r.name for r in rows if r.direction == "forward"] == ["n0", "n6", "n12", "n18"]
    assert all(row.problem.startswith("conv2d 8x") for row in rows)


def test_large_layers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.json"
    large = "avg_pool2d 1x8x1024x1024 kernel=4"
    problems = ["--problem", PROBLEM, "--problem", large]
    assert main([*FAST, "--large", *problems, "--direction", "forward", "--json", str(out)]) == 0
    assert "Huge pages: " in capsys.readouterr().out
    result = read_result(out)
    assert [row.problem for row in result.rows] == [large]
    assert result.machine["huge_pages_from"] in (0, 32 << 20)
    assert "no layer has 32 MiB" in refused(capsys, "--large", "--problem", PROBLEM)


def test_wrong_result_ends_with_1(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = lambda case, name: lambda: case.operands.grad * 0  # noqa: E731
    monkeypatch.setattr("cnnkern.benchmark.measure.our_call", wrong)
    assert main([*FAST, "--problem", PROBLEM, "--direction", "forward"]) == 1
    printed = capsys.readouterr().out
    assert "failed" in printed
    assert "worst at" in printed


def test_interrupted_run_keeps_what_was_measured(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Bench.rows

    def interrupted(self, layer):
        if layer.name.startswith("max_pool"):
            raise KeyboardInterrupt
        return rows(self, layer)

    monkeypatch.setattr(Bench, "rows", interrupted)
    out = tmp_path / "r.json"
    problems = ["--problem", PROBLEM, "--problem", "max_pool2d 1x1x4x4 kernel=2"]
    arguments = [*FAST, *problems, "--direction", "forward"]
    assert main([*arguments, "--json", str(out)]) == 130
    assert "Interrupted: 1 rows were measured" in capsys.readouterr().out
    assert not read_result(out).complete
    # A whole result is not replaced by a part of one.
    monkeypatch.setattr(Bench, "rows", rows)
    assert main([*arguments, "--json", str(out)]) == 0
    monkeypatch.setattr(Bench, "rows", interrupted)
    assert main([*arguments, "--json", str(out)]) == 130
    assert read_result(out).complete
    assert not read_result(tmp_path / "r.partial.json").complete


@pytest.mark.slow
def test_ctrl_c_in_a_real_process(tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnkern", "bench", "--problem", PROBLEM, "--suite", "vgg16",
         "--seconds", "20", "--json", str(out), "--against", "none", "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:  # the limits come before the first row
        if line.startswith("Limits"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in printed + errors
    assert "Interrupted" in printed


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    main([*FAST, "--problem", PROBLEM, "--direction", "forward", "--json", str(old)])
    data = json.loads(old.read_text())
    capsys.readouterr()
    assert main(["bench", "--compare", str(old), str(old)]) == 0
    assert "1 rows: 0 faster, 0 slower, 1 same" in capsys.readouterr().out
    times = data["rows"][0]["times_us"]
    for name, factor in (("cnnkern", 4), ("torch", 1)):
        times[name] = [value * factor for value in [10.0, 11.0] * 12]
    before = json.loads(old.read_text())
    before["rows"][0]["times_us"] = {name: [10.0, 11.0] * 12 for name in times}
    old.write_text(json.dumps(before))
    new.write_text(json.dumps(data))
    assert main(["bench", "--compare", str(old), str(new)]) == 1
    assert "slower" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "resnet5"], "unknown suite 'resnet5'; did you mean 'resnet50'"),
        (["--suite", "no/such.txt"], "cannot read it: No such file"),
        (["--model", "torchvision:resnet51"], "resnet50"),
        (["--model", "nothing.py:build"], "nothing.py"),
        (["--problem", PROBLEM, "--input", "1x3"], "--input: expected only beside --model"),
        (["--model", "a.py:b", "--input", "1,3"], "expected a size such as 8x3x224x224"),
        (["--dtype", "float31"], "expected float32, float64, float16, bfloat16 or all"),
        (["--direction", "forwards"], "expected forward, input_grad, weight_grad or all"),
        (["--against", "tensorflow"], "expected torch, torch.benchmark, torch.compile or all"),
        (["--against", "torch.benchmark", "--device", "cpu"], "for --device cuda alone"),
        (["--seconds", "-1"], "expected seconds above 0, got '-1'"),
        (["--json", "no/such/folder/r.json"], "cannot be written: No such file"),
        (["--json", "r.txt"], "expected a name that ends in .json"),
        (["--plot", "/proc/x"], "'/proc/x' cannot be written"),
        (["--compare", "no.json", "no.json"], "'no.json': No such file"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys) -> None:
    line = refused(capsys, *arguments)
    assert message in line
    assert line.startswith("cnnkern bench: ")
    assert line.count("\n") == 1


def test_bad_problem_has_a_caret(capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(capsys, "--problem", "conv2d 1x3x9x9 4x3x3x3 strid=2").splitlines()
    assert "did you mean 'stride'" in lines[0] + lines[-1]
    assert any(line.strip() == "^" for line in lines)


def test_no_gpu(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "use --device cpu" in refused(capsys, "--device", "cuda")
