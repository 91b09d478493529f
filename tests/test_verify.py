# SPDX-License-Identifier: BSD-3-Clause
"""cnnkern verify: what it selects, counts, finds and says."""

from __future__ import annotations

import json
import math
import shlex

import pytest
import torch

from cnnkern.cli import verify as command
from cnnkern.cli.main import main
from cnnkern.testing import verify
from cnnkern.testing.devices import missing
from cnnkern.testing.verify import verify_problem

CONV = "conv2d 2x4x7x8 9x4x3x3 stride=2 padding=1 bias relu"
DEPTHWISE = "conv2d 2x5x7x8 5x1x3x3 padding=1 bias"


GENERAL = {"auto", "direct", "im2col"}


@pytest.mark.parametrize(
    ("problem", "algorithms"),
    [
        (CONV, GENERAL),
        (DEPTHWISE + " dtype=bfloat16 format=channels_last", {*GENERAL, "depthwise"}),
        ("conv_transpose3d 1x3x3x4x3 3x2x2x3x2 stride=2 bias dtype=float64", GENERAL),
        ("max_pool2d 2x3x9x9 kernel=3 stride=2 dtype=float16", {"auto"}),
        ("avg_pool1d 2x3x11 kernel=3 ceil count_include_pad=false padding=1", {"auto"}),
        ("conv2d 0x4x6x6 8x4x3x3 padding=1", {*GENERAL, "winograd"}),
    ],
)  # fmt: skip
def test_every_algorithm_that_serves_passes_in_every_direction(problem, algorithms):
    outcomes = verify_problem(problem)
    assert {outcome.verdict for outcome in outcomes} <= {"passed", "refused"}
    passed = {o.algorithm for o in outcomes if o.verdict == "passed"}
    assert passed == algorithms
    directions = {o.direction for o in outcomes if o.algorithm == "auto"}
    assert directions == {"forward", "input_grad"} | (
        {"weight_grad"} if "conv" in problem else set()
    )
    assert all(o.error_share <= 1 for o in outcomes)


def test_a_refusal_gives_the_reason_alone():
    outcomes = verify_problem(CONV, algorithms=["depthwise"], directions=["weight_grad"])
    assert [(o.verdict, o.note) for o in outcomes] == [
        ("refused", "C/groups is 4, needs 1; C = 4, groups = 1")
    ]


@pytest.mark.emulated
@pytest.mark.skipif(missing("emulated") is not None, reason="the emulator is not built")
def test_on_the_emulator(capsys):
    arguments = [
        "--device",
        "emulated",
        "--problem",
        DEPTHWISE,
        "--problem",
        "max_pool1d 2x3x9 kernel=2",
    ]
    assert main(["verify", *arguments]) == 0
    out = capsys.readouterr().out
    assert "2 problems, 20 cases: 11 passed, 9 refused, 0 failed" in out
    assert "emulated   depthwise       weight_grad   float32" in out


@pytest.fixture
def planted(monkeypatch):
    """Direct convolution loses a value of the weight gradient where a stride is 2."""
    right = verify.run

    def faulty(call, direction, operands, algorithm):
        results = right(call, direction, operands, algorithm)
        if algorithm == "direct" and direction == "weight_grad" and 2 in call.stride:
            results[0].view(-1)[0] = math.nan
        return results

    monkeypatch.setattr(verify, "run", faulty)
    return monkeypatch


def test_a_failure_is_made_small_and_its_command_shows_it(planted, capsys, tmp_path):
    file = tmp_path / "verify.json"
    problems = [CONV, DEPTHWISE, CONV.replace("2x4x7x8", "1x4x5x5")]
    arguments = [word for problem in problems for word in ("--problem", problem)]
    assert main(["verify", *arguments, "--seed", "3", "--json", str(file)]) == 1
    out = capsys.readouterr().out
    assert "3 problems, 54 cases: 28 passed, 24 refused, 2 failed" in out
    assert "FAILED direct, weight_grad, on cpu:" in out
    assert f"{CONV}: direct, weight_grad: weight.grad: 1 of 324 elements differ" in out
    assert "1 more failed, such as" in out
    data = json.loads(file.read_text())
    assert data["complete"]
    assert len(data["outcomes"]) == 54
    (failure,) = data["failures"]
    assert failure["smallest"]["problem"] == "conv1d 1x1x2 1x1x1 stride=2"
    assert f"  {failure['command']}\n" in out

    words = shlex.split(failure["command"])
    assert words[0] == "cnnkern"
    assert main(words[1:]) == 1
    assert failure["smallest"]["note"] in capsys.readouterr().out
    planted.undo()
    assert main(words[1:]) == 0


def test_what_an_operator_raises_is_a_failure(monkeypatch, capsys):
    def broken(*arguments):
        raise RuntimeError("no such thing as 7 threads")

    monkeypatch.setattr(verify, "run", broken)
    chosen = ["--problem", CONV, "--algorithm", "im2col", "--direction", "forward"]
    assert main(["verify", *chosen]) == 1
    out = capsys.readouterr().out
    assert "im2col, forward: RuntimeError: no such thing as 7 threads" in out
    assert "--problem 'conv1d 1x1x1 1x1x1' --algorithm im2col --direction forward" in out


def test_a_fault_in_a_function_is_found_by_auto(monkeypatch):
    from cnnkern import functional

    def conv2d(*tensors, **keywords):
        return torch.nn.functional.conv2d(*tensors, **keywords) * 2

    monkeypatch.setattr(functional, "conv2d", conv2d)
    outcomes = verify_problem("conv2d 1x2x4x4 2x2x3x3", algorithms=["auto"])
    assert [o.verdict for o in outcomes] == ["failed"] * 3
    found = verify.smallest_failure(outcomes[2])
    assert found.smallest.problem == "conv2d 1x1x1x1 1x1x1x1"
    assert found.directions == ("weight_grad",)


def test_what_is_selected(capsys, monkeypatch):
    seen = []

    def noted(problem, **keywords):
        seen.append((problem, keywords["algorithms"], keywords["directions"]))
        return []

    monkeypatch.setattr(command, "verify_problem", noted)
    assert main(["verify", "--suite", "lenet5", "--dtype", "all", "--format", "contiguous"]) == 0
    lenet = [problem for problem, *_ in seen]
    assert len(lenet) == len(set(lenet)) >= 12
    assert {problem.rpartition("dtype=")[2] for problem in lenet} >= {"float64", "bfloat16"}
    assert all("2x" in problem.split()[1] for problem in lenet)
    seen.clear()
    assert (
        main(["verify", "--random", "7", "--algorithm", "auto,direct", "--direction", "forward"])
        == 0
    )
    assert len(seen) == 7
    assert {(tuple(a), tuple(d)) for _, a, d in seen} == {(("auto", "direct"), ("forward",))}
    seen.clear()
    assert main(["verify"]) == 0
    everything = [problem for problem, *_ in seen]
    assert len(everything) == len(set(everything)) > 300
    kinds = {problem.split()[0] for problem in everything}
    assert len(kinds) == 18
    capsys.readouterr()


def test_an_interruption_keeps_what_was_verified(monkeypatch, capsys, tmp_path):
    right, seen = command.verify_problem, []

    def interrupted(problem, **keywords):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(problem)
        return right(problem, **keywords)

    monkeypatch.setattr(command, "verify_problem", interrupted)
    file = tmp_path / "verify.json"
    assert main(["verify", "--edge", "--algorithm", "auto", "--json", str(file)]) == 130
    out = capsys.readouterr().out
    assert "Interrupted; this is what was verified until then." in out
    assert "2 problems, 6 cases: 6 passed, 0 refused, 0 failed" in out
    assert not json.loads(file.read_text())["complete"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "resnet05"], "unknown suite 'resnet05'; did you mean 'resnet50'"),
        (["--problem", "conv2d 1x1x5x5 1x1x3x3 strid=2"], "did you mean 'stride'"),
        (["--problem", "conv2d 1x1x5x5 1x1x3x3 strid=2"], "\n                         ^"),
        (
            ["--algorithm", "fft"],
            "expected auto, direct, depthwise, im2col, winograd, implicit_gemm or all",
        ),
        (["--direction", "backward"], "expected forward, input_grad, weight_grad or all"),
        (["--random", "0"], "--random: expected a whole number of at least 1, got '0'"),
        (["--device", "tpu"], "--device: invalid choice: 'tpu'"),
        (["--json", "/nowhere/verify.json"], "--json: '/nowhere/verify.json' cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, message, capsys):
    try:
        code = main(["verify", *arguments])
    except SystemExit as exit:
        code = exit.code
    captured = capsys.readouterr()
    assert code == 2
    assert message in captured.err
    assert captured.err.startswith("cnnkern verify: ")
    assert captured.out == ""


def test_missing_devices_and_packages_say_what_to_do(monkeypatch, capsys):
    from cnnkern.testing import devices

    monkeypatch.setattr(devices, "emulator", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["verify", "--device", "emulated"]) == 2
    assert (
        "--device emulated: the emulator is not built: run 'make emulator'"
        in capsys.readouterr().err
    )
    assert main(["verify", "--device", "cuda"]) == 2
    assert "--device cuda: no GPU" in capsys.readouterr().err
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: (n != "hypothesis" and found(n)) or None
    )
    assert main(["verify", "--random", "3"]) == 2
    assert "needs hypothesis, not installed here; run pip install 'cnnkern[verify]'" in (
        capsys.readouterr().err
    )
