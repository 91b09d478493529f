# SPDX-License-Identifier: BSD-3-Clause
"""The roofline and the ratios as pictures: what they show, and where there is nothing to show."""

from __future__ import annotations

import html
import re
from pathlib import Path

import matplotlib.image
import pytest

from cnnkern.benchmark.pictures import save_pictures, save_ratios, save_roofline
from cnnkern.benchmark.roofline import ceilings, kind_of, points, slopes
from tests.support.results import LAYERS, result, row


def texts(path: Path) -> list[str]:
    """What a picture says: matplotlib draws letters as paths, each text named in a comment."""
    return [html.unescape(text) for text in re.findall(r"<!-- (.*?) -->", path.read_text())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shots") / "new"
    written = save_pictures(result(), place)
    assert sorted(path.name for path in written) == sorted(path.name for path in place.iterdir())
    return place


def test_pictures_are_files_of_both_formats(folder: Path) -> None:
    names = {f"{name}.{suffix}" for name in ("roofline", "ratios") for suffix in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == names
    for name in ("roofline", "ratios"):
        pixels = matplotlib.image.imread(folder / f"{name}.png")[..., :3]
        assert min(pixels.shape[:2]) > 300
        assert 0.005 < (pixels < 0.9).any(-1).mean() < 0.5  # neither empty nor full


def test_both_name_device_versions_and_date(folder: Path) -> None:
    for name in ("roofline", "ratios"):
        said = " ".join(texts(folder / f"{name}.svg"))
        assert "Test CPU <9>, avx2, 2 threads, cnnkern 0.1.0, torch 2.13.0, 2026-11-21" in said


def test_roofline_names_its_limits_and_marks(folder: Path) -> None:
    said = texts(folder / "roofline.svg")
    for words in ("memory 10.0 GB/s", "cache 40.0 GB/s", "float32: 200 GFLOP/s", "channels_last"):
        assert words in said
    assert {"forward", "input_grad", "convolution", "depthwise", "pool", "torch"} <= set(said)
    assert not [text for text in said if "bfloat16" in text]  # measured, but of no row


def test_ratios_name_mean_and_worst_of_each_lane(folder: Path) -> None:
    said = texts(folder / "ratios.svg")
    assert "0.50 ● depthwise" in said
    assert {"net, convolutions", "net, pools", "other"} <= set(said)
    mean = (4.0 * 1.0 * 0.5) ** (1 / 3)
    assert said.count(f"{mean:.2f}") == 2  # forward and input_grad
    assert said.count("8.00 ● pool") == 2
    assert "weight_grad" not in said  # none of it passed


def test_the_same_result_is_the_same_picture(folder: Path, tmp_path: Path) -> None:
    save_ratios(result(), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (folder / "ratios.svg").read_bytes()


def test_points_are_flops_a_byte_and_flops_a_second() -> None:
    (point,) = points([row("conv1")])
    assert (point.intensity, point.rate) == (4.0, pytest.approx(4e6 / 100e-6))
    assert point.peer_rate == pytest.approx(point.rate / LAYERS["conv1"][1])
    assert points([row("conv1", times_us={})]) == []
    assert points([row("conv1")], "other")[0].peer_rate is None
    kinds = [kind_of(LAYERS[name][0]) for name in LAYERS]
    assert kinds == ["convolution", "convolution", "depthwise", "pool"]


def test_limits_of_a_result() -> None:
    assert [(s.name, s.bytes_per_second) for s in slopes(result())] == [
        ("memory", 1e10),
        ("cache", 4e10),
    ]
    assert ceilings(result()) == {"float32": 2e11}
    assert slopes(result(limits={})) == []


def test_nothing_timed_is_no_picture(tmp_path: Path) -> None:
    nothing = result(row("conv1", verdict="refused", times_us={}))
    assert save_pictures(nothing, tmp_path) == []
    with pytest.raises(ValueError, match="a row that was timed"):
        save_roofline(nothing, tmp_path / "roofline.png")
    with pytest.raises(ValueError, match=r"timed beside torch; there is none"):
        save_ratios(nothing, tmp_path / "ratios.png")
    assert list(tmp_path.iterdir()) == []


def test_no_peer_and_no_limits_leave_a_roofline(tmp_path: Path) -> None:
    alone = result(row("conv1", times_us={"cnnkern": [5.0]}), limits={})
    assert {path.stem for path in save_pictures(alone, tmp_path)} == {"roofline"}
