# SPDX-License-Identifier: BSD-3-Clause
"""benchmarks/gpu_run.sh, which nobody should take a GPU for to find that it does not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkern

ROOT = Path(cnnkern.__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_run.sh"
sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))
import summary  # noqa: E402


def gpu_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_dry_run_of_every_stage(tmp_path: Path) -> None:
    result = gpu_run("--dry", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["dry"] is True
    assert {"device", "driver", "torch", "cuda", "python", "commit", "date"} <= set(run["machine"])
    status = {name: stage["status"] for name, stage in run["stages"].items()}
    assert list(status) == ["build", "test", "sanitize", "bench", "probe"]
    assert (status["build"], status["bench"]) == ("passed", "passed")
    assert (status["sanitize"], status["probe"]) == ("skipped", "skipped")
    assert run["stages"]["test"]["details"]["tests"] > 0
    assert "unwatched: 72 calls" in run["stages"]["sanitize"]["note"]

    records = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    assert set(records[0]["rates"]) == {"copy", "bfloat16", "float16", "float32", "float64"}
    rows = records[1:]
    assert len(rows) == 2 * (3 + 3)
    assert {row["format"] for row in rows} == {"contiguous", "channels_last"}
    assert all(row["ok"] and row["us"] > 0 and row["ratio"] > 0 for row in rows)

    lines = (tmp_path / "summary.txt").read_text().splitlines()
    assert len(lines) <= 60
    assert result.stdout.endswith("\n".join(lines) + "\n")
    assert len(list(tmp_path.iterdir())) <= 8


def test_stages_are_chosen_by_name(tmp_path: Path) -> None:
    assert gpu_run("--dry", str(tmp_path), "probe").returncode == 0
    assert list(json.loads((tmp_path / "run.json").read_text())["stages"]) == ["probe"]
    result = gpu_run("--dry", str(tmp_path), STAGES="probe benhc")
    assert result.returncode == 2
    assert "benhc" in result.stderr


def test_stage_without_time_is_skipped(tmp_path: Path) -> None:
    assert gpu_run("--dry", str(tmp_path), "bench", RUN_SECONDS="4").returncode == 0
    stage = json.loads((tmp_path / "run.json").read_text())["stages"]["bench"]
    assert (stage["status"], stage["note"]) == ("skipped", "no time was left")


def test_summary_is_short_and_leads_with_what_is_wrong() -> None:
    row = {
        "kind": "conv", "direction": "forward", "dtype": "float32", "format": "contiguous",
        "problem": "conv2d 1x1x4x4 1x1x3x3", "us": 1.0, "ratio": 2.0, "of_floor": 0.5, "ok": True,
    }  # fmt: skip
    rows = [{**row, "algorithm": f"a{i}"} for i in range(80)]
    rows.append({**rows[0], "ok": False, "fault": "off by one"})
    lines = summary.bench_lines([{"rates": {"copy": 1e12}}, *rows])
    assert lines[1] == "WRONG conv2d 1x1x4x4 1x1x3x3 forward float32: off by one"
    assert any("a7 forward" in line and "2.00" in line and "0.50" in line for line in lines)
