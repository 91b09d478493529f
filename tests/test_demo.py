# SPDX-License-Identifier: BSD-3-Clause
"""The command line and its demo: a small real training, its promises, every way to misuse it."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn as torch_nn

import cnnkern
from cnnkern import nn as cnnkern_nn
from cnnkern.cli.main import main
from cnnkern.demo import compare, digits, train
from cnnkern.demo import report as demo_report


def test_digits_are_split_evenly_and_always_alike() -> None:
    one, two = digits.load(), digits.load()
    assert one.train_images.shape == (4000, 1, 28, 28)
    assert one.test_images.shape == (1000, 1, 28, 28)
    assert one.test_labels.bincount().tolist() == [100] * 10
    assert torch.equal(one.test_images, two.test_images)
    assert torch.equal(one.train_labels, two.train_labels)
    assert one.train_images.max() == 1
    assert one.train_images.min() == 0


def test_both_networks_start_alike() -> None:
    ours = train.lenet5(cnnkern_nn)
    assert sum(p.numel() for p in ours.parameters()) == 44_426
    ours_state, torch_state = (
        train.make_runner("", layers, seed=7).network.state_dict()
        for layers in (cnnkern_nn, torch_nn)
    )
    assert list(ours_state) == list(torch_state)
    assert all(torch.equal(ours_state[key], torch_state[key]) for key in ours_state)


@pytest.mark.slow
def test_training_reads_96_percent_and_stays_beside_torch() -> None:
    data = digits.load()
    runners = [
        train.make_runner("cnnkern", cnnkern_nn, seed=0),
        train.make_runner("torch", torch_nn, seed=0),
    ]
    train.train(runners, data, epochs=8, batch_size=32, seed=0)
    assert train.largest_difference(runners[0].losses, runners[1].losses, 50) < 1e-3
    assert runners[0].accuracy(data.test_images, data.test_labels) >= 0.96


def test_demo_prints_its_tables_and_writes_its_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "ROUNDS", 1)
    picture = tmp_path / "demo.png"
    arguments = ["--epochs", "1", "--train-digits", "300", "--threads", "1"]
    assert main(["demo", *arguments, "--output", str(picture)]) == 0
    output = capsys.readouterr().out
    for word in ("44,426", "test accuracy", "conv1", "pool2", "weight_grad", str(picture.name)):
        assert word in output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert torch.get_num_threads() == 1


def test_rows_cover_what_training_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "ROUNDS", 1)
    ours, torchs = train.lenet5(cnnkern_nn), train.lenet5(torch_nn)
    rows = list(compare.compare(ours, torchs, torch.rand(3, 1, 28, 28)))
    assert [(row.layer, row.direction) for row in rows] == [
        ("conv1", "forward"),
        ("conv1", "weight_grad"),
        ("pool1", "forward"),
        ("pool1", "input_grad"),
        ("conv2", "forward"),
        ("conv2", "input_grad"),
        ("conv2", "weight_grad"),
        ("pool2", "forward"),
        ("pool2", "input_grad"),
    ]
    assert rows[0].problem == "conv2d 3x1x28x28 6x1x5x5 bias"
    assert rows[2].problem == "max_pool2d 3x6x24x24 kernel=2"
    assert all(row.ours_us > 0 and row.torch_us > 0 for row in rows)
    assert all(row.ours_error < 1e-5 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--layers", "3"], "unrecognized arguments: --layers 3"),
        (["--epochs", "0"], "--epochs: expected a whole number of at least 1, got '0'"),
        (["--batch-size", "many"], "--batch-size: expected a whole number of at least 1"),
        (["--threads", "-2"], "--threads: expected a whole number of at least 1"),
        (["--seed", "-1"], "--seed: expected a whole number from 0 to 2^63 - 1, got '-1'"),
        (["--device", "tpu"], "--device: invalid choice: 'tpu'"),
        (["--output", "demo.gif"], "expected a name that ends in .png, .pdf, .svg"),
        (["--output", "nowhere/demo.png"], "'nowhere/demo.png' cannot be written"),
        (["--output", "folder.png"], "'folder.png' is a folder"),
    ],
)
def test_demo_refuses_in_one_line_before_it_trains(
    arguments: list[str],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    monkeypatch.setattr(demo_report, "run", lambda *_: pytest.fail("it went on"))
    try:
        code: object = main(["demo", *arguments])
    except SystemExit as end:
        code = end.code
    error = capsys.readouterr().err
    assert code == 2
    assert text in error
    assert error.startswith("cnnkern demo: ")
    assert error.count("\n") == 1


def test_output_check_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_report, "run", lambda *_: None)
    assert main(["demo", "--output", str(tmp_path / "demo.svg")]) == 0
    assert not list(tmp_path.iterdir())


def test_demo_says_that_the_build_has_no_cuda(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {**cnnkern._C.info(), "cuda": False}
    monkeypatch.setattr(cnnkern._C, "info", lambda: facts)
    assert main(["demo", "--device", "cuda"]) == 2
    assert "built for the CPU only; use --device cpu" in capsys.readouterr().err


def test_demo_names_the_missing_packages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("mlxtend", "rich") else found(name),
    )
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "cnnkern demo: needs mlxtend and rich, not installed here; "
        "run pip install 'cnnkern[demo]'\n"
    )


def test_interrupted_demo_ends_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "cnnkern", "demo", "--epochs", "9999", "--threads", "1"]
        + ["--output", str(tmp_path / "demo.png")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(cnnkern.__file__).parents[1],
    )
    assert process.stdout is not None
    assert b"LeNet-5" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.decode().strip() == "cnnkern demo: interrupted"
    assert not list(tmp_path.iterdir())


def test_explain_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "conv2d", "8x64x56x56", "128x64x3x3", "stride=2", "padding=1"]) == 0
    output = capsys.readouterr().out
    assert "conv2d 8x64x56x56 128x64x3x3 stride=2 padding=1" in output
    assert "forward" in output


def test_explain_points_at_the_bad_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "conv2d 8x64x56x56 128x64x3x3 strid=2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cnnkern explain: ")
    assert "^" in error


def test_info_names_the_instruction_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert cnnkern.__version__ in capsys.readouterr().out
