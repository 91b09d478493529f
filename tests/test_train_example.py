# SPDX-License-Identifier: BSD-3-Clause
"""examples/train.py: two processes of torchrun have the losses of one; it goes on from a file."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "train.py"
SMALL = "--batch-size", "16", "--limit", "320"


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("train_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_example", module)
    spec.loader.exec_module(module)
    return module.main


def test_two_processes_have_the_losses_of_one(
    main: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    assert main([*SMALL, "--epochs", "2", "--losses", str(one)]) == 0
    assert "1 process, " in capsys.readouterr().out
    launch = sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"
    done = subprocess.run(
        [*launch, str(EXAMPLE), *SMALL, "--epochs", "2", "--losses", str(two)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
        },
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes, " in done.stdout
    assert done.stdout.count("epoch 2: mean loss") == 1  # one process alone speaks
    alone, shared = json.loads(one.read_text()), json.loads(two.read_text())
    assert len(alone) == 40
    assert sum(alone[-10:]) < 0.99 * sum(alone[:10])
    assert shared == pytest.approx(alone, rel=1e-5)


def test_goes_on_from_a_checkpoint_to_the_same_bits(
    main: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts, checkpoint = (tmp_path / name for name in ("whole", "parts", "digits.pt"))
    keep = "--checkpoint", str(checkpoint), "--losses", str(parts)
    assert main([*SMALL, "--epochs", "2", "--losses", str(whole)]) == 0
    assert main([*SMALL, "--epochs", "1", *keep]) == 0
    assert len(json.loads(parts.read_text())) == 20
    capsys.readouterr()
    assert main([*SMALL, "--epochs", "2", *keep]) == 0
    assert "epoch 1:" not in capsys.readouterr().out
    assert json.loads(parts.read_text()) == json.loads(whole.read_text())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch-size", "400", "--limit", "320"), "at most the 320 training digits, got 400"),
        (("--checkpoint", "{folder}/text.pt"), "is no checkpoint of this training"),
        (("--losses", "{folder}"), "is a folder, expected a file name"),
        (("--epochs", "0"), "expected a whole number of at least 1"),
    ],
    ids=["batch", "checkpoint", "losses", "epochs"],
)
def test_says_what_it_cannot_do(
    main: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    (tmp_path / "text.pt").write_text("no checkpoint")
    try:
        code = main([text.format(folder=tmp_path) for text in arguments])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert words in capsys.readouterr().err
