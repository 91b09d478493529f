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
from cnnkern.benchmark.limits import precision_of
from cnnkern.benchmark.results import Result, Row, read_result, write_result

ROOT = Path(cnnkern.__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_run.sh"
sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))
import bench  # noqa: E402
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
    assert "unwatched: 96 calls" in run["stages"]["sanitize"]["note"]

    measured = read_result(tmp_path / "bench.json")
    assert measured.complete
    assert set(measured.limits) == {"flops", "copy"}
    assert len(measured.rows) == 2 * (3 + 2 * 3 + 2)  # winograd has no weight gradient
    assert {row.format for row in measured.rows} == {"contiguous", "channels_last"}
    assert {row.verdict for row in measured.rows} == {"passed"}
    assert all(row.timed and row.ratio("torch").median > 0 for row in measured.rows)

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


def test_most_valuable_jobs_come_first() -> None:
    planned = bench.jobs(64)
    problems = [job.layer.problem for job in planned]
    assert bench.kind_of(problems[0]) == "pool"
    kinds = [bench.kind_of(problem) for problem in problems]
    first = {kind: kinds.index(kind) for kind in ("pool", "depthwise", "conv")}
    assert first["pool"] < first["depthwise"] < first["conv"] < len(planned) / 2
    assert {precision_of(problem, "cuda") for problem in problems} == set(bench.PRECISIONS)
    assert len({(str(job.layer.problem), job.algorithm) for job in planned}) == len(planned)


def test_summary_is_short_and_leads_with_what_is_wrong(tmp_path: Path) -> None:
    def row(number: int, **fields) -> Row:
        times = {"cnnkern": [1.0] * 3, "torch": [2.0] * 3}
        given = {"verdict": "passed", "times_us": times, "floor_us": 0.5, "plan": f"a{number}"}
        return Row("suite", "name", "conv2d 1x1x4x4 1x1x3x3", "forward", "float32", "contiguous",
                   f"a{number}", **{**given, **fields})  # fmt: skip

    rows = [row(i) for i in range(80)]
    rows.append(row(0, verdict="failed", note="off by one", times_us={}))
    write_result(Result({}, {}, {"flops": {}, "copy": [[1e6, 1e12]]}, rows), tmp_path / "r.json")
    lines = summary.bench_lines(tmp_path / "r.json")
    assert lines[1] == "WRONG conv2d 1x1x4x4 1x1x3x3 forward a0: off by one"
    assert any("a7 forward" in line and "2.00" in line and "0.50" in line for line in lines)
