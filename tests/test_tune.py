# SPDX-License-Identifier: BSD-3-Clause
"""Tuning: the rule by which an algorithm wins, wrong ones that are found, files that load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnkern
from cnnkern import _C
from cnnkern.benchmark import checked
from cnnkern.benchmark import tune as tuning
from cnnkern.benchmark.case import Case
from cnnkern.benchmark.suites import Layer
from cnnkern.benchmark.tune import Choice, plans_text, tune
from cnnkern.cli.main import main
from cnnkern.problem import parse

TEXT = "conv2d 2x8x9x9 8x8x3x3 dilation=2"
OTHER = "conv2d 1x4x7x7 4x4x3x3 stride=2"
ISA = _C.info()["isa"]


@pytest.fixture(autouse=True)
def _no_plans_after() -> Iterator[None]:
    yield
    cnnkern.load_plans(None)


class Planned:
    """A clock that shows what it is told, and remembers whom it timed."""

    device = "cpu"

    def __init__(self, **times_us: list[float]) -> None:
        self.times_us = times_us
        self.timed: list[set[str]] = []

    def time(self, calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
        self.timed.append(set(calls))
        return {name: self.times_us[name] for name in calls}


FASTER = {"direct": [10.0, 11, 10, 12, 10], "im2col": [8.0, 9, 8, 9, 8]}


def layers(*texts: str) -> list[Layer]:
    return [Layer("mine", f"layer{i}", parse(text)) for i, text in enumerate(texts)]


def choice(default: str = "direct", **times: list[float]) -> Choice:
    return Choice(layers(TEXT)[0], "forward", default, dict(times))


@pytest.mark.parametrize(
    ("direct", "im2col", "planned"),
    [
        ([10, 10, 10, 10, 10], [9, 9, 9, 9, 9], "im2col"),
        ([10] * 6, [9, 9, 9, 9, 9, 30], "im2col"),  # a round was disturbed
        ([10] * 6, [9, 9, 9, 9, 10, 10], None),  # two were
        ([10, 10, 10, 10, 10], [9.9, 9.9, 9.9, 9.9, 9.9], None),  # too little to tell
        ([10, 20, 10, 20, 10], [9, 18, 9, 18, 9], "im2col"),  # both were, round by round
        ([10, 10, 10], [11, 11, 11], None),
        ([10, 10, 10], [8, 8, 11], None),
    ],
)
def test_the_default_gives_way_to_what_is_faster_beyond_the_noise(
    direct: list[float], im2col: list[float], planned: str | None
) -> None:
    assert choice(direct=direct, im2col=im2col).planned == planned


def test_the_gain_is_the_defaults_time_over_the_fastests() -> None:
    faster = choice(direct=[10.0, 10, 10], im2col=[5.0, 5, 5])
    assert faster.gain is not None
    assert faster.gain.median == 2
    assert choice(direct=[1.0] * 3, im2col=[2.0] * 3).gain is None


def test_each_problem_is_measured_once() -> None:
    clock = Planned(**FASTER)
    found = list(
        tune(
            layers(TEXT, f"{TEXT} bias", f"{TEXT} relu", "max_pool2d 1x1x4x4 kernel=2",
                   "conv_transpose2d 2x8x5x5 8x8x3x3 dilation=2"),  # the first's input gradient
            clock,
        )
    )  # fmt: skip
    assert [(one.layer.name, one.direction) for one in found] == [
        ("layer0", "forward"),
        ("layer0", "input_grad"),
        ("layer0", "weight_grad"),
    ]
    assert clock.timed == [{"direct", "im2col"}] * 3


def test_plans_in_force_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "plans.txt"
    path.write_text(f"device {ISA}\n{TEXT} -> forward im2col")
    cnnkern.load_plans(path)
    (found,) = tune(layers(TEXT), Planned(**FASTER), directions=["forward"])
    assert (found.default, found.planned) == ("direct", "im2col")


def plant(
    monkeypatch: pytest.MonkeyPatch, algorithm: str, spoil: Callable[[torch.Tensor], None]
) -> None:
    """From now on the algorithm's results are spoilt."""
    usual = tuning.our_call

    def our_call(case: Case, name: str) -> Callable[[], Any]:
        call = usual(case, name)

        def wrong() -> Any:
            result = call()
            spoil(result[0] if isinstance(result, tuple) else result)
            return result

        return wrong if name == algorithm else call

    monkeypatch.setattr(tuning, "our_call", our_call)


def one_value(result: torch.Tensor) -> None:
    result.view(-1)[-1] += 0.01


@pytest.mark.parametrize("direction", ["forward", "input_grad", "weight_grad"])
def test_a_wrong_algorithm_is_discarded_before_it_is_timed(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, "im2col", one_value)
    clock = Planned(**FASTER)
    (found,) = tune(layers(TEXT), clock, directions=[direction])
    assert clock.timed == [{"direct"}]
    assert list(found.discarded) == ["im2col"]
    assert "max error 0.01" in found.discarded["im2col"]
    assert found.planned is None


def test_a_wrong_default_gives_way_to_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "direct", torch.Tensor.zero_)
    clock = Planned(im2col=[50.0] * 3)
    (found,) = tune(layers(TEXT), clock, directions=["forward"])
    assert found.planned == "im2col"
    assert f"{TEXT} -> forward im2col" in plans_text([found], "cpu").splitlines()


def test_a_value_in_a_large_result_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "im2col", one_value)
    monkeypatch.setitem(checked.MOST_FLOPS, "cpu", 1e4)
    (found,) = tune(layers(TEXT), Planned(**FASTER), directions=["forward"])
    assert list(found.discarded) == ["im2col"]


def run(monkeypatch: pytest.MonkeyPatch, clock: Any, *arguments: object) -> int:
    monkeypatch.setattr("cnnkern.cli.tune.clock_of", lambda device: clock)
    return main(["tune", *map(str, arguments)])


def test_a_written_file_changes_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plans.txt"
    arguments = ("--problem", TEXT, "--problem", f"{OTHER} bias", "--output", path)
    assert run(monkeypatch, Planned(**FASTER), *arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("6 of 6 measured directions have a plan in ")
    assert captured.err == ""
    text = path.read_text()
    assert f"cnnkern {cnnkern.__version__}, torch {torch.__version__}; " in text
    assert f"\ndevice {ISA}\n" in text
    assert (
        f"# problems {TEXT}, forward: im2col in place of direct; direct 10.0 us (10.0-12.0), "
        "im2col 8.00 us (8.00-9.00)\n"
    ) in text
    assert _C.plan(parse(TEXT), "forward").algorithm == "direct"
    cnnkern.load_plans(path)
    for problem in (TEXT, OTHER):
        for direction in ("forward", "input_grad", "weight_grad"):
            plan = _C.plan(parse(problem), direction)
            assert (plan.algorithm, plan.otherwise) == ("im2col", "direct")
            line = int(plan.file.rpartition(":")[2])
            assert text.splitlines()[line - 1].startswith(f"{problem}")


def test_where_the_default_stays_the_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plans.txt"
    clock = Planned(direct=[1.0] * 3, im2col=[2.0] * 3)
    assert run(monkeypatch, clock, "--problem", TEXT, "--output", path) == 0
    assert f"# {TEXT}" in path.read_text().splitlines()
    cnnkern.load_plans(path)
    assert _C.plan_file() == {"path": str(path), "plans": {ISA: 0}}


def test_a_discarded_algorithm_is_named_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, "im2col", one_value)
    path = tmp_path / "plans.txt"
    words = ("--problem", TEXT, "--direction", "forward", "--output", path)
    assert run(monkeypatch, Planned(**FASTER), *words) == 1
    start = f"cnnkern tune: DISCARDED im2col for forward of {TEXT}: "
    assert capsys.readouterr().err.startswith(start)
    text = path.read_text()
    assert "im2col DISCARDED, its result is wrong" in text
    assert "->" not in text.replace("#", "").splitlines()[-1]
    cnnkern.load_plans(path)
    assert _C.plan(parse(TEXT), "forward").algorithm == "direct"


def test_a_real_clock_and_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n\ndef build():\n"
        "    return torch.nn.Conv2d(4, 4, 3, padding=1), torch.zeros(2, 4, 9, 9)\n"
    )
    path = tmp_path / "plans.txt"
    words = ["--model", f"{tmp_path}/mine.py:build", "--seconds", "0.01", "--output", str(path)]
    assert main(["tune", *words, "--device", "cpu", "--dtype", "bfloat16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(" us (" in line for line in lines[:3])
    assert "conv2d 2x4x9x9 4x4x3x3 padding=1 bias dtype=bfloat16" in path.read_text()
    cnnkern.load_plans(path)


def test_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plans.txt"
    path.write_text("# mine\n")
    words = ("--problem", TEXT, "--output", path)
    assert run(monkeypatch, Planned(**FASTER), *words) == 2
    error = capsys.readouterr().err
    assert error == f"cnnkern tune: --output: '{path}' exists; --force replaces it\n"

    class Interrupted(Planned):
        def time(self, calls: Any, seconds: float) -> Any:
            raise KeyboardInterrupt

    assert run(monkeypatch, Interrupted(), *words, "--force") == 130
    assert path.read_text() == "# mine\n"
    assert list(tmp_path.iterdir()) == [path]
    assert run(monkeypatch, Planned(**FASTER), *words, "--force") == 0
    assert f"{TEXT} -> " in path.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected what to measure: --suite, --problem or --model"),
        (["--suite", "resnet5"], "unknown suite 'resnet5'; did you mean 'resnet50'"),
        (["--problem", "conv2d 1x1x3x3 1x1x1x1 strid=2"], "did you mean 'stride'?"),
        (["--model", "torchvision:resnet5"], "resnet50"),
    ],
)
def test_bad_input_is_a_message_before_anything_is_measured(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plans.txt"
    assert main(["tune", *words, "--output", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cnnkern tune: ")
    assert message in error
    assert not path.exists()


def test_an_output_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, reason in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "cannot be written")):
        assert main(["tune", "--problem", TEXT, "--output", str(path)]) == 2
        assert reason in capsys.readouterr().err


def test_arguments_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--problem", TEXT], "the following arguments are required: --output"),
        (["--output", "x", "--direction", "backward"], "got 'backward'"),
        (["--output", "x", "--seconds", "0"], "expected seconds above 0, got '0'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["tune", *words])
        assert message in capsys.readouterr().err
