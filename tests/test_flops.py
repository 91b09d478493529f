# SPDX-License-Identifier: BSD-3-Clause
"""The measured rate of multiply-adds: a number, in proportion, and beyond what torch reaches."""

from __future__ import annotations

import re
import time

import pytest
import torch

from cnnkern._C import measure_flops


def best_of_mm(size: int) -> float:
    """FLOP/s of the fastest of some matrix products."""
    x = torch.rand(size, size)
    y = torch.mm(x, x)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(x, x, out=y)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def test_rates_are_in_proportion() -> None:
    # Whoever else works on this machine takes from one measurement or the other.
    torch.set_num_threads(1)
    single, double, half = (
        max(measure_flops(dtype, 30) for _ in range(4))
        for dtype in ("float32", "float64", "bfloat16")
    )
    assert single > 1e9
    assert double / single == pytest.approx(0.5, rel=0.35)
    assert half / single == pytest.approx(1, rel=0.35)


def test_no_matrix_product_is_faster() -> None:
    torch.set_num_threads(1)
    assert best_of_mm(512) <= 1.1 * max(measure_flops("float32", 30) for _ in range(4))


def test_short_measurements_have_a_value() -> None:
    assert measure_flops("float32", 0) > 1e8


@pytest.mark.parametrize(
    ("dtype", "milliseconds", "message"),
    [
        ("int8", 1, "expected dtype float32, float64, float16 or bfloat16, got 'int8'"),
        ("float32", -1, "expected milliseconds from 0 to 1000000, got -1"),
        ("float32", float("nan"), "expected milliseconds from 0 to 1000000, got nan"),
    ],
)
def test_bad_arguments(dtype: str, milliseconds: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^measure_flops: {re.escape(message)}"):
        measure_flops(dtype, milliseconds)
