# SPDX-License-Identifier: BSD-3-Clause
"""Growth, networks, memory and accuracy: what the scripts write and print, and how they end."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from cnnkern.benchmark import beyond_suites
from cnnkern.benchmark.peak import peak_bytes
from cnnkern.testing.verify import Outcome

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(FOLDER))
import accuracy  # noqa: E402
import growth  # noqa: E402
import memory  # noqa: E402
import network_times  # noqa: E402
import predictions  # noqa: E402

TINY = ("--batches", "1,2", "--images", "8", "--seconds", "0.001")


def test_the_predictions_are_those_of_the_plan() -> None:
    """A changed model shows in the committed table."""
    committed = (FOLDER / "predictions_h200.md").read_text()
    assert predictions.page("H200", 32, "bfloat16") == committed


def test_growth_measures_and_draws(tmp_path: Path, capsys) -> None:
    numbers, picture = tmp_path / "growth.json", tmp_path / "growth.svg"
    assert growth.main([*TINY, "--json", str(numbers), "--picture", str(picture)]) == 0
    assert f"Written: {picture}" in capsys.readouterr().out
    data = beyond_suites.read(numbers)
    assert len(data["rows"]) == len(growth.LAYERS) * 3 * 2
    assert {row["threads"] for row in data["rows"]} == {1, 2}
    assert all(len(row["times_us"]["torch"]) >= 5 for row in data["rows"])
    said = re.findall(r"<!-- (.*?) -->", picture.read_text())
    assert {*growth.LAYERS, "torch, 1 thread", "cnnkern, 2 threads", "time a pixel"} <= set(said)
    again = tmp_path / "again.svg"
    assert growth.main(["--drawn-from", str(numbers), "--picture", str(again)]) == 0
    assert again.read_bytes() == picture.read_bytes()


def test_growth_shows_times_by_image_and_by_pixel() -> None:
    row = {"n": 4, "side": 10, "times_us": {"torch": [800.0]}}
    assert growth._unit_time(row, "torch", "batch") == 200_000  # nanoseconds
    assert growth._unit_time(row, "torch", "image") == 2000
    assert [growth._whole(ns) for ns in (20.0, 5000.0, 2e6)] == ["20 ns", "5 us", "2 ms"]


def test_networks_are_timed(tmp_path: Path, capsys) -> None:
    path = tmp_path / "networks.json"
    arguments = ["lenet5_keras", "encoder_decoder", "--small", "--batch", "1", "--threads", "1"]
    assert network_times.main([*arguments, "--seconds", "0.001", "--json", str(path)]) == 0
    said = capsys.readouterr()
    assert "torch / fused" in said.out
    assert "lenet5_keras, contiguous, training step" in said.err
    rows = beyond_suites.read(path)["rows"]
    assert [(r["what"], r["format"]) for r in rows[:4]] == [
        ("training step", "contiguous"), ("inference", "contiguous"),
        ("training step", "channels_last"), ("inference", "channels_last"),
    ]  # fmt: skip
    assert list(rows[0]["times_us"]) == ["torch", "cnnkern"]
    assert list(rows[1]["times_us"]) == ["torch", "cnnkern", "fused"]
    assert len(rows) == 8


def test_sides_compute_the_same() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.MaxPool2d(2)
    )
    x = torch.randn(2, 3, 10, 10)
    results = [call() for call in network_times.inference(model, [x]).values()]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-5)
    before = model[0].weight.clone()
    for step in network_times.training(model, [x]).values():
        step()
    assert torch.equal(model[0].weight, before)  # each side has weights of its own


def test_memory_counts_what_a_call_needs(tmp_path: Path, capfd) -> None:
    suite, path = tmp_path / "mine.txt", tmp_path / "memory.json"
    suite.write_text("conv conv2d 2x16x512x512 16x16x3x3 padding=1\npool avg_pool1d 1x2x9 kernel=2")
    arguments = [str(suite), "--threads", "1", "--json", str(path)]
    assert memory.main([*arguments, "--format", "channels_last"]) == 0
    rows = beyond_suites.read(path)["rows"]
    assert [(row["name"], row["direction"], row["format"]) for row in rows] == [
        ("conv", "forward", "channels_last"), ("conv", "input_grad", "channels_last"),
        ("conv", "weight_grad", "channels_last"), ("pool", "forward", "contiguous"),
        ("pool", "input_grad", "contiguous"),
    ]  # fmt: skip
    size = 2 * 16 * 512 * 512 * 4
    for row in rows[:2]:
        assert all(0.95 * size < peak < 2.5 * size for peak in row["peaks"].values())
    said = capfd.readouterr().out
    assert "mine" in said
    assert "most beyond torch's" in said


def test_accuracy_finds_the_worst_of_each_algorithm(tmp_path: Path, capsys) -> None:
    path = tmp_path / "accuracy.json"
    assert accuracy.main(["--problems", "5", "--json", str(path)]) == 0
    assert "error / torch's" in capsys.readouterr().out
    rows = beyond_suites.read(path)["rows"]
    by_algorithm = {row["algorithm"]: 0 for row in rows}
    for row in rows:
        assert row["failed"] == 0
        assert row["share_of_allowed"] <= 1
        if row["direction"] == "forward":
            by_algorithm[row["algorithm"]] += row["cases"]
    assert by_algorithm == dict.fromkeys((*accuracy.CPU_ALGORITHMS, accuracy.OF_POOLS), 5)


def test_accuracy_counts_what_failed() -> None:
    def outcome(verdict: str, error: float = 0.0) -> Outcome:
        text = "conv2d 1x1x3x3 1x1x3x3 dtype=float16"
        return Outcome(text, "cpu", "direct", "forward", verdict, error, error / 4)

    both = [outcome("passed", 1.5), outcome("failed"), outcome("refused")]
    (row,) = accuracy.lines("direct", both)
    assert (row["dtype"], row["cases"], row["failed"]) == ("float16", 2, 1)
    assert row["error_in_torchs"] == 1.5
    (row,) = accuracy.lines("direct", both[1:])
    assert (row["cases"], row["failed"], row["error_in_torchs"]) == (1, 1, 0.0)


def test_peak_is_the_most_at_a_time() -> None:
    def twice() -> None:
        for _ in range(2):
            torch.ones(8 << 20)  # 32 MiB, given back before the next

    assert (30 << 20) < peak_bytes(twice) < (48 << 20)
    assert peak_bytes(lambda: None) < 4 << 20


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        (growth, [], "expected --json, --picture or both"),
        (growth, ["--json", "x.txt"], "expected a name that ends in .json"),
        (growth, ["--picture", "x.png", "--drawn-from", "none.json"], "--drawn-from: "),
        (growth, ["--json", "x.json", "--batches", "0"], "expected numbers with commas between"),
        (network_times, ["resnet5"], "unknown network 'resnet5'"),
        (memory, ["lenet"], "unknown suite 'lenet'; did you mean 'lenet5'"),
        (memory, ["--format", "nhwc"], "expected contiguous, channels_last or all"),
    ],
)
def test_what_cannot_be_done_is_one_line(script, arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = script.main(arguments)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", [growth, network_times, memory])
def test_ctrl_c_ends_cleanly(script, tmp_path: Path, monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(growth, "measure", interrupted)
    monkeypatch.setattr(network_times, "lines", interrupted)
    monkeypatch.setattr(memory, "in_a_process", interrupted)
    assert script.main(["--json", str(tmp_path / "x.json")]) == 130
    assert "interrupted, nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", [growth, network_times, memory])
def test_help_says_how_to_call_it(script, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        script.main(["--help"])
    assert end.value.code == 0
    assert f"python benchmarks/{script.__name__}.py --json" in capsys.readouterr().out
