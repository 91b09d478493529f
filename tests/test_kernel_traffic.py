# SPDX-License-Identifier: BSD-3-Clause
"""Kernels that memory limits move little more than they must, in wide accesses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cnnkern.testing.devices import emulator, running

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import traffic

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(emulator() is None, reason="the emulator is not built: make emulator"),
]
MOST = 1.1


def _check(row: traffic.Row) -> None:
    assert row.bytes_ratio <= MOST, f"{row.kernel}: {row.problem}: {row.bytes_ratio:.3f}"


@pytest.mark.parametrize("problem", traffic.formats(traffic.MAX_POOL + traffic.AVG_POOL), ids=str)
def test_pools(problem):
    with running("emulated"):
        for row in traffic.pool_rows(problem):
            _check(row)


@pytest.mark.parametrize("direction", traffic.DIRECTIONS)
@pytest.mark.parametrize("problem", traffic.formats(traffic.DEPTHWISE[3:5]), ids=str)
def test_depthwise(problem, direction):
    with running("emulated"):
        row = traffic.conv_row(problem, direction, "depthwise")
    _check(row)
    assert row.widest_load == 16


@pytest.mark.parametrize("direction", traffic.DIRECTIONS)
@pytest.mark.parametrize("problem", traffic.formats(traffic.IM2COL), ids=str)
def test_im2col(problem, direction):
    with running("emulated"):
        _check(traffic.conv_row(problem, direction, "im2col"))
