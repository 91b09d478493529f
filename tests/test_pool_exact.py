# SPDX-License-Identifier: BSD-3-Clause
"""Pools of small integers: maxima, sums, and the gradients that count windows come out exactly."""

from __future__ import annotations

import pytest
from cases import AVG_POOL, MAX_POOL, lines, variants

from cnnkern.testing import check_problem

# Divided by 4: exact in every dtype here, so the sums behind it are too.
SUMS = [
    f"{line} divisor=4" for line in lines(AVG_POOL) if "divisor" not in line and "1d" not in line
]


@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("problem", variants(lines(MAX_POOL)), ids=str)
def test_max_pool_is_exact(problem, strided):
    check_problem(problem, integers=True, strided=strided)


@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("problem", variants(SUMS), ids=str)
def test_sums_of_avg_pool_are_exact(problem, strided):
    check_problem(problem, integers=True, strided=strided)
