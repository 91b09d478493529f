# SPDX-License-Identifier: BSD-3-Clause
"""Pools of normal values: the error rule, and maxima without any error."""

from __future__ import annotations

import pytest
from cases import AVG_POOL, MAX_POOL, lines, variants

from cnnkern.testing import check_problem


@pytest.mark.parametrize("problem", variants(lines(MAX_POOL)), ids=str)
def test_max_pool_is_accurate(problem):
    report = check_problem(problem)
    assert report.errors["output"].error.maximum == 0


@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("problem", variants(lines(AVG_POOL)), ids=str)
def test_avg_pool_is_accurate(problem, strided):
    check_problem(problem, strided=strided)
