# SPDX-License-Identifier: BSD-3-Clause
"""Committed results as text, and the check that the text is what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from cnnkern.benchmark import beyond_suites
from cnnkern.benchmark.heading import machine_lines, memory_line
from cnnkern.benchmark.lost_time import CLASSES, class_of
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
    lost = text.split("### Where we lose")[1].split("\n\n")[2].splitlines()[2:]
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
    lost = text.split("the 10 slowest:\n\n")[1].split("\n\n")[0].splitlines()[2:]
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


def test_memory_line_says_who_asks_for_huge_pages() -> None:
    asked = {"THP_MEM_ALLOC_ENABLE": "1", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "2"}
    pages = {"huge_pages": "madvise", "huge_pages_defrag": "never", "huge_pages_from": 32 << 20}
    one = result(machine={**MACHINE, **pages, "environment": asked})
    assert memory_line(one) == (
        "Huge pages: madvise (defrag never); cnnkern asks from 32.0 MiB on, torch asks from "
        "2.00 MiB on; THP_MEM_ALLOC_ENABLE=1; MALLOC_ARENA_MAX=1"
    )
    other = result(machine={**MACHINE, **pages, "huge_pages_from": 0, "environment": {}})
    assert memory_line(other).endswith("; cnnkern does not ask, torch does not")
    assert memory_line(result(machine={**MACHINE, "huge_pages": "never"})) == "Huge pages: never"
    assert memory_line(result()) == memory_line(result(machine={**one.machine, "kind": "cuda"}))
    assert memory_line(one) in machine_lines(one)


def test_lost_time_sums_each_problem_once_by_class(tmp_path: Path) -> None:
    times = {"cnnkern": [1020.0], "torch": [510.0]}
    slow = row("conv2", times_us=times)
    again = row("conv2", suite="other", times_us={"cnnkern": [9.0], "torch": [9.0]})
    cached = row("pool", times_us={"cnnkern": [10.0], "torch": [80.0]})  # faster than the bound
    repository(tmp_path, net=result(slow, row("conv1"), cached), other=result(again))
    text = overview(read_devices(tmp_path / "benchmarks" / "results"))
    (_, lost) = text.split("### Where time is lost\n\n")
    sums, most = lost.split("The 3 of 3 that lose most:")
    assert [line.split(" | ")[0] for line in sums.splitlines()[4:8]] == [
        "| dense 3x3", "| few channels", "| pools", "| all",
    ]  # fmt: skip
    assert "| dense 3x3 | 1.00 ms | **1.00 ms** |" in sums
    assert "| few channels | 80.0 us | **80.0 us** |" in sums
    assert "| pools | 0 us | **0 us** |" in sums
    assert "| all | 1.08 ms | **1.08 ms** |" in sums
    assert most.splitlines()[4] == (
        "| net `conv2` | `conv2d 8x16x32x32 16x16x3x3 padding=1` | forward | dense 3x3 | "
        "**1.00 ms** | 1.02 ms | 20.0 us | FLOPs | 510 us |"
    )


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("conv2d 1x4x9x9 8x4x1x1 stride=2", "few channels"),
        ("conv2d 1x8x9x9 16x1x3x3 stride=2", "depthwise"),
        ("conv2d 1x8x9x9 8x2x3x3", "grouped"),
        ("conv2d 1x8x9x9 8x8x1x1 stride=1,2", "strided"),
        ("conv1d 1x8x9 8x8x1", "1x1"),
        ("conv3d 1x8x9x9x9 8x8x3x3x3", "dense 3x3"),
        ("conv2d 1x8x9x9 8x8x1x3", "other dense"),
        ("avg_pool2d 1x8x9x9 kernel=3", "pools"),
    ],
)
def test_each_layer_has_a_class(problem: str, kind: str) -> None:
    assert class_of(problem) == kind
    assert kind in CLASSES


def test_what_another_setting_changes_stands_beside(tmp_path: Path) -> None:
    large = {"problem": "conv2d 8x64x512x512 64x64x3x3 padding=1", "name": "large"}
    usual = result(row("conv1"), row("conv2", **large), row("pool"))
    repository(tmp_path, net=usual)
    folder = tmp_path / "benchmarks/results/test-cpu/huge_pages"
    folder.mkdir()
    machine = {
        **MACHINE, "huge_pages": "madvise", "huge_pages_from": 32 << 20,
        "environment": {"THP_MEM_ALLOC_ENABLE": "1"},
    }  # fmt: skip
    times = {"cnnkern": [100.0], "torch": [50.0]}
    other = result(row("conv2", **large, times_us=times), row("conv1", name="new"), machine=machine)
    write_result(other, folder / "net.json")
    devices = read_devices(tmp_path / "benchmarks" / "results")
    text = overview(devices).split("### Measured otherwise: huge_pages\n\n")[1]
    assert text.startswith("Test CPU <9>, avx2, 2 threads; Huge pages: madvise; cnnkern asks")
    assert "THP_MEM_ALLOC_ENABLE=1" in text
    # Rows that one side alone has do not count.
    group = "| convolutions | float32 | contiguous | forward | 1 | **0.50** | 0.50 | **1.00** |"
    assert group in text
    assert "Rows whose result has 32.0 MiB or more" in text
    assert "| net `large` | forward | contiguous | 100 us | 1.00 | **0.50** |" in text
    assert "0.50" not in speed(devices)
    assert "| net | 2.00 (1.00) |" in speed(devices)


def test_a_folder_of_other_layers_lists_them(tmp_path: Path) -> None:
    repository(tmp_path, net=result(row("conv1")))
    folder = tmp_path / "benchmarks/results/test-cpu/depthwise"
    folder.mkdir()
    times = {"cnnkern": [100.0], "torch": [300.0]}
    write_result(result(row("conv2", times_us=times)), folder / "net.json")
    devices = read_devices(tmp_path / "benchmarks" / "results")
    text = overview(devices).split("### Measured besides: depthwise\n\n")[1]
    assert text.startswith("Rows: 1; torch / ours: 3.00 in the geometric mean.")
    assert "| forward | 100 us | **3.00** |" in text
    assert "3.00" not in speed(devices)


def test_networks_and_memory_stand_below(tmp_path: Path) -> None:
    repository(tmp_path, net=result(row("conv1")))
    folder = tmp_path / "benchmarks/results/test-cpu/beyond_suites"
    folder.mkdir()
    about = {"about": "batch 8", "machine": MACHINE, "settings": {}}
    times = {"torch": [3000.0], "cnnkern": [2000.0], "fused": [1000.0]}
    step = {name: times[name] for name in ("torch", "cnnkern")}
    rows = [
        {"network": "net", "what": "inference", "format": "contiguous", "times_us": times},
        {"network": "net", "what": "training step", "format": "contiguous", "times_us": step},
    ]
    beyond_suites.write(folder / "networks.json", {**about, "rows": rows})
    peaks = [
        {"suite": "net", "name": name, "direction": direction, "format": "contiguous",
         "peaks": {"torch": 4 << 20, "cnnkern": ours << 20}}
        for name, ours, direction in (
            ("a", 1, "forward"), ("b", 16, "forward"), ("c", 4, "input_grad"),
        )
    ]  # fmt: skip
    beyond_suites.write(folder / "memory.json", {**about, "rows": peaks})
    text = overview(read_devices(tmp_path / "benchmarks" / "results"))
    for words in (
        "### Whole networks\n\nbatch 8; Test CPU <9>, avx2, 2 threads\n",
        "| net | inference | contiguous | 3.00 ms | 2.00 ms | **1.50** (1.50-1.50) | 1.00 ms | "
        "**3.00** (3.00-3.00) |",
        "| net | training step | contiguous | 3.00 ms | 2.00 ms | **1.50** (1.50-1.50) | - | - |",
        "### Memory\n\nbatch 8; ",
        "| net | contiguous | forward | 2 | 4.00 MiB | 16.0 MiB | **2.12** | 12.0 MiB | b |",
        "| net | contiguous | input_grad | 1 | 4.00 MiB | 4.00 MiB | **1.00** | - | - |",
    ):
        assert words in text
    (folder / "memory.json").write_text('{"rows": []}')
    with pytest.raises(ValueError, match=r"memory\.json' is not of this version"):
        read_devices(tmp_path / "benchmarks" / "results")
    (folder / "memory.json").write_text('{"rows": [')
    with pytest.raises(ValueError, match=r"memory\.json' is no complete JSON"):
        read_devices(tmp_path / "benchmarks" / "results")
