# SPDX-License-Identifier: BSD-3-Clause
"""The whole of torch's convolution and pooling is there, with torch's signatures."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import api_table  # noqa: E402

RANKS = ("1d", "2d", "3d")
PROMISED = {
    "nn.functional": [
        f"{kind}{rank}"
        for kind in (
            "conv",
            "conv_transpose",
            "max_pool",
            "avg_pool",
            "adaptive_avg_pool",
            "adaptive_max_pool",
            "lp_pool",
            "max_unpool",
        )
        for rank in RANKS
    ],
    "nn": [
        f"{kind}{rank}"
        for kind in (
            "Conv",
            "ConvTranspose",
            "MaxPool",
            "AvgPool",
            "AdaptiveAvgPool",
            "AdaptiveMaxPool",
            "LPPool",
            "MaxUnpool",
            "LazyConv",
            "LazyConvTranspose",
        )
        for rank in RANKS
    ],
    "nn.grad": [f"conv{rank}_{side}" for rank in RANKS for side in ("input", "weight")],
}


@pytest.fixture(scope="module")
def rows() -> list[api_table.Row]:
    return list(api_table.rows())


def test_nothing_is_missing(rows: list[api_table.Row]) -> None:
    assert [row.name for row in rows if row.state == "missing"] == []


@pytest.mark.parametrize("module", PROMISED)
def test_what_is_promised_is_supported(rows: list[api_table.Row], module: str) -> None:
    state = {row.name: row.state for row in rows if row.module == module}
    for name in PROMISED[module]:
        assert state[name] == "supported", name


def test_no_signature_deviates(rows: list[api_table.Row]) -> None:
    assert [row for row in rows if row.state == "differs"] == []


def test_what_is_left_to_torch_has_a_reason(rows: list[api_table.Row]) -> None:
    left = [row for row in rows if row.state == "not ours"]
    assert {"fold", "Unfold", "fractional_max_pool2d", "FractionalMaxPool3d"} <= {
        row.name for row in left
    }
    assert all(row.note for row in left)


def test_every_name_on_the_subject_has_a_row(rows: list[api_table.Row]) -> None:
    listed = {(row.module, row.name) for row in rows}
    assert len(listed) == len(rows)
    for label, theirs, ours in api_table.namespaces():
        assert {(label, name) for name in api_table.names_of(theirs)} <= listed
        assert {(label, name) for name in ours.__all__} <= listed


def test_torchs_signatures_are_read() -> None:
    functional = torch.nn.functional
    empty = inspect.Parameter.empty
    for name, last in (("conv2d", ("groups", 1)), ("conv_transpose1d", ("dilation", 1))):
        assert api_table.parameters(functional, name)[-1] == last
        assert api_table.parameters(functional, name)[:2] == [("input", empty), ("weight", empty)]
    assert api_table.parameters(functional, "max_pool2d")[-1] == ("return_indices", False)
    assert api_table.parameters(functional, "avg_pool3d")[-1] == ("divisor_override", None)


def test_deviations_are_seen() -> None:
    expected = [("input", inspect.Parameter.empty), ("stride", 1)]

    def right(input, stride=1, *, algorithm="auto"): ...
    def other_order(stride=1, input=None): ...
    def other_default(input, stride=2): ...
    def more_positions(input, stride=1, activation=None): ...
    def fewer(input): ...
    def anything(input, stride=1, **options): ...

    assert api_table.compare(expected, right) == ("", ["algorithm"])
    for wrong in (other_order, other_default, more_positions, fewer, anything):
        assert api_table.compare(expected, wrong)[0]


def test_prints_markdown(rows: list[api_table.Row]) -> None:
    text = api_table.table(rows)
    assert (
        "| `nn.functional.conv2d` | supported | also padding_mode, residual, activation, " in text
    )
    assert "| `nn.MaxUnpool2d` | supported |  |" in text
    assert f"{sum(row.state == 'supported' for row in rows)} supported" in text.splitlines()[-1]
