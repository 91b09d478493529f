# SPDX-License-Identifier: BSD-3-Clause
"""The script that checks networks at their full size: its table, its file and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples import check_networks
from examples.networks.measure import WHATS, Task

ARGUMENTS = ("lenet5_keras", "encoder_decoder", "--small", "--threads", "1", "--seconds", "0.01")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Measures in this process; what was asked for."""
    tasks: list[Task] = []

    def measured(task: Task) -> dict[str, Any]:
        tasks.append(task)
        return task.measure()

    monkeypatch.setattr(check_networks, "measured", measured)
    return tasks


def test_table_and_file(here: list[Task], tmp_path: Path, capsys) -> None:
    path = tmp_path / "found.json"
    assert check_networks.main([*ARGUMENTS, "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (lenet,) = (line.split() for line in lines if line.startswith("lenet5_keras"))
    assert lenet[1:5] == ["4", "of", "4", "-"]
    assert all(0.05 < float(lenet[i]) < 5 for i in (5, 7))
    assert float(lenet[-1]) > 0
    (one, other) = json.loads(path.read_text())["networks"]
    assert [one["network"], other["network"]] == list(ARGUMENTS[:2])
    assert (other["errors"]["swapped"], other["errors"]["faults"]) == (9, [])
    assert other["errors"]["cnnkern"]["gradients"]["rms"] < 1e-5
    assert one["times"]["rounds"] >= 5
    assert [task.what for task in here] == list(WHATS) * 2
    assert [task.override for task in here[:4]] == [True, False, False, False]


def test_interrupted(monkeypatch: pytest.MonkeyPatch, here: list[Task], capsys) -> None:
    measured = check_networks.measured

    def until_the_second(task: Task) -> dict[str, Any]:
        if task.network == "encoder_decoder" and task.what == WHATS[1]:
            raise KeyboardInterrupt
        return measured(task)

    monkeypatch.setattr(check_networks, "measured", until_the_second)
    assert check_networks.main([*ARGUMENTS, "--no-times"]) == 130
    said = capsys.readouterr().out
    assert "Interrupted; 1 of 2 networks were checked until then." in said
    assert "lenet5_keras" in said
    assert "encoder_decoder" not in said


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def measured(task: Task) -> dict[str, Any]:
        if task.network == "encoder_decoder":
            return {"failed": f"{task.what}: ended by signal 9"}
        found = task.measure()
        return found | {"faults": ["outputs: too far"]} if task.what == "errors" else found

    monkeypatch.setattr(check_networks, "measured", measured)
    assert check_networks.main([*ARGUMENTS, "--no-times"]) == 1
    said = capsys.readouterr().out
    assert "lenet5_keras: outputs: too far\n" in said
    assert "encoder_decoder: errors: ended by signal 9\n" in said


def test_unknown(capsys) -> None:
    assert check_networks.main(["resnet5"]) == 2
    assert "unknown network 'resnet5'; expected resnet50" in capsys.readouterr().err
    assert check_networks.main(["lenet5", "--json", "/nowhere/found.json"]) == 2
    assert "--json: '/nowhere/found.json' cannot be written" in capsys.readouterr().err


def test_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = check_networks.measured(Task("peak of cnnkern", "keras_mnist", batch=8, threads=1))
    # The outputs of the first convolution and its ReLU alone are 2 x 8 x 32 x 26 x 26 floats.
    assert peak["bytes"] > 2 * 8 * 32 * 26 * 26 * 4
    monkeypatch.setattr("sys.executable", "false")
    assert check_networks.measured(Task("errors", "lenet5")) == {"failed": "errors: no word"}
