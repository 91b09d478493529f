# SPDX-License-Identifier: BSD-3-Clause
"""Committed results as text, and the check that the text is what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from cnnkern.benchmark.overview import between_markers, overview, read_devices, speed
from cnnkern.benchmark.results import Result, write_result
from tests.support.results import HOSTILE, MACHINE, result, row

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report", ROOT / "benchmarks" / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def repository(root: Path, **files: Result) -> Path:
    """A folder as the repository has it, with results of one device by suite."""
    folder = root / "benchmarks" / "results" / "test-cpu"
    folder.mkdir(parents=True)
    for name, content in files.items():
        write_result(content, folder / f"{name}.json")
    (root / "README.md").write_text("# x\n\n<!-- speed -->\nold\n<!-- /speed -->\n\nend\n")
    return root


def test_committed_results_and_texts_agree(
    report: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["--check"]) == 0, capsys.readouterr().err


def test_check_fails_until_the_report_is_made_and_then_passes(
    report: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(tmp_path, net=result(row("conv1"), row("pool")))
    assert report.main(["--check"], root) == 1
    said = capsys.readouterr().err
    assert f"'{root / 'README.md'}' is not what the results say; run: make report" in said
    assert f"'{root / 'benchmarks' / 'README.md'}' is not" in said
    assert "old" in (root / "README.md").read_text()  # the check changed nothing
    assert not (root / "benchmarks" / "README.md").exists()

    assert report.main([], root) == 0
    assert report.main(["--check"], root) == 0
    readme = (root / "README.md").read_text()
    assert readme.startswith("# x\n\n<!-- speed -->\n\n")
    assert readme.endswith("\n\n<!-- /speed -->\n\nend\n")
    assert "| net | 4.00 (4.00) |" in readme
    assert "old" not in readme

    write_result(result(row("conv2"), row("pool")), root / "benchmarks/results/test-cpu/net.json")
    assert report.main(["--check"], root) == 1


def test_speed_says_device_versions_date_and_what_did_not_pass(tmp_path: Path) -> None:
    repository(tmp_path, net=result())
    text = speed(read_devices(tmp_path / "benchmarks" / "results"))
    head, convolutions, pools, bad = text.split("\n\n")
    assert head == (
        "Test CPU <9>, avx2, 2 threads; cnnkern 0.1.0, torch 2.13.0, 2026-11-21; float32; "
        "torch's time divided by ours:"
    )
    net, other = convolutions.splitlines()[2:]
    # Four places were measured; weight gradients did not pass.
    assert net == "| net |" + " 1.26 (0.50) | 1.26 (0.50) | - |" + " 1.26 (0.50) |" * 2
    assert other == "| other | 4.00 (4.00) | - | - | - | - |"
    assert convolutions.splitlines()[0] == (
        "| suite | forward | input gradient | weight gradient | forward, channels_last | "
        "input gradient, channels_last |"
    )
    assert pools.splitlines()[2] == "| net |" + " 8.00 (8.00) |" * 4
    assert bad == "3 of 20 rows did not pass: 1 failed, 1 refused, 1 untrustworthy."


def test_overview_names_limits_verdicts_and_where_we_lose(tmp_path: Path) -> None:
    slower = {
        **MACHINE,
        "date": "2026-11-23T08:00:00+00:00",
        "cores": 2,
        "before": {"running": 1.5},
    }
    limits = {"flops": {"float32": 1.9e11}, "copy": [[1 << 28, 1.1e10]]}
    extra = result(row("conv1", suite="z"), machine=slower, limits=limits)
    repository(tmp_path, net=result(), z=extra)
    text = overview(read_devices(tmp_path / "benchmarks" / "results"))
    for words in (
        "## Test CPU <9>, avx2, 2 threads\n",
        "commit abc123, torch 2.13.0; 2026-11-21 to 2026-11-23",
        "float32 190 GFLOP/s to 200 GFLOP/s; ",
        "copy of 256 MiB 10.0 GB/s to 11.0 GB/s.",
        "Measured while other programs ran, so with noise: z.",
        "21 rows: 18 passed, 1 failed, 1 refused, 1 untrustworthy.",
        "| convolutions | contiguous | forward | **1.26** | 0.50 | `depthwise` | 20 % | 3 passed |",
        "| convolutions | contiguous | weight_grad | **-** | - | - | - | 1 failed, 1 refused, ",
        "### Where we lose to torch most\n\n4 of 18 rows are slower than torch's:",
    ):
        assert words in text
    lost = text.split("### Where we lose")[1].splitlines()[6:]
    assert len(lost) == 4
    assert all(line.startswith("| net | depthwise | `conv2d 8x16x32x32 16x1x3x3") for line in lost)


def test_the_ten_worst_are_the_ten_worst(tmp_path: Path) -> None:
    rows = [
        row("conv2", name=f"layer{i}", times_us={"cnnkern": [100.0], "torch": [50.0 + i]})
        for i in range(60)
    ]
    repository(tmp_path, net=result(*rows))
    text = overview(read_devices(tmp_path / "benchmarks" / "results"))
    assert "50 of 60 rows are slower than torch's; the 10 slowest:" in text
    lost = text.split("the 10 slowest:")[1].splitlines()[4:]
    assert [line.split(" | ")[1] for line in lost] == [f"layer{i}" for i in range(10)]


def test_names_keep_their_cell(tmp_path: Path) -> None:
    loser = row("depthwise", name=HOSTILE)
    repository(tmp_path, net=result(loser))
    text = overview(read_devices(tmp_path / "benchmarks" / "results"))
    (line,) = [line for line in text.splitlines() if line.startswith("| net | a[red]")]
    assert line.replace("\\|", "").count("|") == 9


def test_no_results_say_so(tmp_path: Path) -> None:
    root = repository(tmp_path)
    devices = read_devices(root / "benchmarks" / "results")
    assert devices == []
    assert "No results yet" in overview(devices)


def test_older_interrupted_and_doubled_results_are_one_line(
    report: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(tmp_path, net=result(row("conv1")))
    folder = root / "benchmarks" / "results" / "test-cpu"

    def refused() -> str:
        assert report.main([], root) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert "old" in (root / "README.md").read_text()
        return captured.err

    other = folder / "other.json"
    other.write_text('{"machine": {}, "rows": []}')
    assert f"'{other}' has no version" in refused()
    write_result(result(row("conv2"), complete=False), other)
    assert f"'{other}' is of an interrupted run; measure it again" in refused()
    write_result(result(row("conv1")), other)
    assert f"'{other}' and '{folder / 'net.json'}' both have net conv1 forward" in refused()
    other.unlink()
    (root / "README.md").write_text("old, without markers")
    assert "expected <!-- speed --> and, after it, <!-- /speed -->" in refused()


def test_markers_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="one is missing"):
        between_markers("<!-- /speed --> <!-- speed -->", "new")


def test_batches_other_than_the_suites_own_are_told(tmp_path: Path) -> None:
    changed = result()
    changed.settings["batch"] = 8
    devices = read_devices(repository(tmp_path, net=changed) / "benchmarks" / "results")
    told = "In batches of 8 in place of their own: "
    assert told in speed(devices)
    assert told in overview(devices)
